// The base: a fixed separable filter at input coordinate (o + 0.5) / s - 0.5, in float32.
#pragma once

#include "value.h"

namespace acutance {

constexpr int kMaxTaps = 8;

enum class Filter { cubic, lanczos4 };

// For output phase i of s: taps at input pixels first[i] .. first[i] + taps - 1, relative to the phase's own pixel.
struct Base {
  int scale, taps;
  int first[kMaxScale];
  float weight[kMaxScale][kMaxTaps];
};

// Keys' cubic with a = -0.5 (IEEE Trans. ASSP 29(6), 1981, eq. 15), or sinc(t) sinc(t / 4).
static inline double filter_at(Filter f, double t) {
  t = std::fabs(t);
  if (f == Filter::cubic) {
    if (t <= 1) return (1.5 * t - 2.5) * t * t + 1;
    return t < 2 ? ((-0.5 * t + 2.5) * t - 4) * t + 2 : 0;
  }
  const double pi = 3.14159265358979323846;
  if (t < 1e-12) return 1;
  return t < 4 ? std::sin(pi * t) / (pi * t) * std::sin(pi * t / 4) / (pi * t / 4) : 0;
}

static inline Base base_table(Filter f, int scale) {
  Base b{};
  b.scale = scale;
  b.taps = f == Filter::cubic ? 4 : 8;
  for (int i = 0; i < scale; ++i) {
    const double at = (i + 0.5) / scale - 0.5;
    double weight[kMaxTaps], sum = 0;
    b.first[i] = static_cast<int>(std::floor(at)) - b.taps / 2 + 1;
    for (int k = 0; k < b.taps; ++k) sum += weight[k] = filter_at(f, b.first[i] + k - at);
    for (int k = 0; k < b.taps; ++k) b.weight[i][k] = static_cast<float>(weight[k] / sum);
  }
  return b;
}

// first[i] - first[0]: phases from the middle on lie in the next input pixel's half.
template <int S>
ACUTANCE_FN constexpr int phase_start(int i) {
  return S > 1 && 2 * i + 1 >= S ? 1 : 0;
}

// The s x s base samples of input pixel (row, col): along columns first, then along rows, taps in order.
template <class Pixel, int S = 0>
ACUTANCE_FN void base_block(const Base& b, const Picture& p, int row, int col, int colour, float* y) {
  const int s = S ? S : b.scale;
  for (int at = b.first[0]; at < b.first[s - 1] + b.taps; ++at) {
    const Pixel* from = pixel_row<Pixel>(p, mirror(static_cast<int64_t>(row) + at, p.rows)) + colour;
    float across[kMaxScale];
    ACUTANCE_UNROLL
    for (int j = 0; j < s; ++j) {
      float sum = 0.0f;
      for (int k = 0; k < b.taps; ++k) {
        const int64_t c = mirror(static_cast<int64_t>(col) + b.first[j] + k, p.cols);
        const float part = b.weight[j][k] * static_cast<float>(from[c * p.colours]);
        sum = k == 0 ? part : sum + part;
      }
      across[j] = sum;
    }
    ACUTANCE_UNROLL
    for (int i = 0; i < s; ++i) {
      const int k = at - b.first[i];
      if (k < 0 || k >= b.taps) continue;
      ACUTANCE_UNROLL
      for (int j = 0; j < s; ++j) {
        const float part = b.weight[i][k] * across[j];
        y[i * s + j] = k == 0 ? part : y[i * s + j] + part;
      }
    }
  }
}

}  // namespace acutance
