// Samples: half precision, luma, rounding.
#pragma once

#include <cmath>
#include <cstring>

#include "plan.h"

#ifdef __CUDACC__
#include <cuda_fp16.h>
#endif

namespace acutance {

// IEEE 754 binary16 as its bits.
struct Half {
  uint16_t bits;
};

ACUTANCE_FN uint32_t bits_of(float x) {
  uint32_t b;
  memcpy(&b, &x, 4);
  return b;
}

ACUTANCE_FN float float_of(uint32_t b) {
  float x;
  memcpy(&x, &b, 4);
  return x;
}

ACUTANCE_FN float to_float(Half h) {
#ifdef __CUDA_ARCH__
  return __half2float(__ushort_as_half(h.bits));
#else
  const uint32_t sign = static_cast<uint32_t>(h.bits & 0x8000u) << 16, rest = h.bits & 0x7fffu;
  if (rest >= 0x7c00u) return float_of(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
  if (rest >= 0x0400u) return float_of(sign | ((rest << 13) + (112u << 23)));
  const float small = static_cast<float>(rest) * 5.9604644775390625e-8f;  // 2^-24, the smallest half
  return float_of(sign | bits_of(small));
#endif
}

ACUTANCE_FN float to_float(float x) {
  return x;
}

// Rounds half to even; beyond 65519.99 becomes infinite.
ACUTANCE_FN Half to_half(float x) {
#ifdef __CUDA_ARCH__
  return Half{__half_as_ushort(__float2half_rn(x))};
#else
  const uint32_t b = bits_of(x), sign = (b >> 16) & 0x8000u, rest = b & 0x7fffffffu;
  uint32_t h;
  if (rest > 0x7f800000u) {
    h = 0x7e00u;
  } else if (rest >= 0x47800000u) {
    h = 0x7c00u;
  } else if (rest < 0x38800000u) {  // below 2^-14: adding 0.5 leaves the rounded multiple of 2^-24 in the low bits
    h = bits_of(float_of(rest) + 0.5f) - 0x3f000000u;
  } else {
    h = (rest - (112u << 23) + 0xfffu + ((rest >> 13) & 1u)) >> 13;
  }
  return Half{static_cast<uint16_t>(sign | h)};
#endif
}

ACUTANCE_FN void store(float* to, float x) {
  *to = x;
}
ACUTANCE_FN void store(Half* to, float x) {
  *to = to_half(x);
}

ACUTANCE_FN float clamp(float x, float low, float high) {
  return x < low ? low : (x > high ? high : x);
}

ACUTANCE_FN bool is_finite(float x) {
  return (bits_of(x) & 0x7f800000u) != 0x7f800000u;
}

template <class Pixel>
ACUTANCE_FN const Pixel* pixel_row(const Picture& p, int row) {
  return reinterpret_cast<const Pixel*>(static_cast<const char*>(p.data) + row * p.pitch);
}

template <class Pixel>
ACUTANCE_FN Pixel* pixel_row_to(const Picture& p, int row) {
  return reinterpret_cast<Pixel*>(static_cast<char*>(p.data) + row * p.pitch);
}

// What a network sees of a pixel: the sample, or BT.601 luma of three (ITU-R BT.601-7, 2.5.1).
template <class Pixel>
ACUTANCE_FN float gray_of(const Pixel* row, int col, int colours) {
  if (colours == 1) return static_cast<float>(row[col]);
  const Pixel* p = row + 3 * static_cast<int64_t>(col);
  return (0.299f * static_cast<float>(p[0]) + 0.587f * static_cast<float>(p[1])) + 0.114f * static_cast<float>(p[2]);
}

template <class Pixel>
struct IsFloat {
  static constexpr bool value = false;
};
template <>
struct IsFloat<float> {
  static constexpr bool value = true;
};

template <class Pixel>
ACUTANCE_FN constexpr float lowest_of() {
  return static_cast<Pixel>(-1) < 0 ? -32768.0f : 0.0f;
}
template <class Pixel>
ACUTANCE_FN constexpr float highest_of() {
  return static_cast<Pixel>(-1) < 0 ? 32767.0f : (sizeof(Pixel) == 1 ? 255.0f : 65535.0f);
}

// Numbers that change from frame to frame, as a kernel may read them from device memory when it runs: a captured CUDA
// graph then holds for every frame. Whoever writes them vouches for them: all finite but low and high, low <= high.
struct Params {
  float gain, bias, low, high, padding, unused[3];
};

}  // namespace acutance
