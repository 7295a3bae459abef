// assemble: the s x s output block of one input pixel.
#pragma once

#include "base.h"
#include "guard.h"

namespace acutance {

// The numbers that bound and scale the output, in stored units.
struct Levels {
  float per_unit;  // of one unit of the residual: 1 / gain
  float low, high, padding;
  bool base_alone;  // the residual is not looked at
};

struct AssembleArgs {
  Picture picture, out;
  Tiles residual;  // data null: the base alone
  Axis rows, cols;
  Base base;
  Levels levels;
  const Params* params;  // null: `levels` holds
  bool guard;
  const uint8_t* mask;  // null: nothing is masked
  int64_t mask_pitch;   // bytes
  int row0, row1;       // input rows whose outputs are written
};

// From params as from scalars: low and high are drawn in to the whole numbers that the pixels' type holds.
template <class Pixel>
ACUTANCE_FN Levels levels_of(const AssembleArgs& a) {
  Levels v = a.levels;
  if (a.params) {
    const Params& p = *a.params;
    v = Levels{1.0f / p.gain, p.low, p.high, p.padding, p.gain == 0.0f};
    if (!IsFloat<Pixel>::value) {
      const float least = lowest_of<Pixel>(), most = highest_of<Pixel>();
      v.low = clamp(ceilf(v.low), least, most);
      v.high = clamp(floorf(v.high), least, most);
      v.padding = clamp(v.padding, least, most);
    }
  }
  v.base_alone = v.base_alone || !a.residual.data;
  return v;
}

// Where a picture coordinate lies in its tile, and in the tile before when the two are blended there.
struct Place {
  int tile, at;
  int before;     // coordinate in tile - 1, or -1 when there is nothing to blend
  int64_t first;  // output pixels from the start of the blend to this input pixel
};

ACUTANCE_FN Place place_of(const Axis& a, int p, int scale) {
  Place r;
  r.tile = axis_tile(a, p);
  r.at = p - axis_origin(a, r.tile);
  const int k = p - r.tile * axis_step(a);
  r.before = r.tile > 0 && k < a.overlap ? p - axis_origin(a, r.tile - 1) : -1;
  r.first = static_cast<int64_t>(k) * scale;
  return r;
}

// Weight of the later tile at output pixel `i` of the input pixel.
ACUTANCE_FN float blend_weight(const Axis& a, const Place& p, int i, int scale) {
  return (static_cast<float>(p.first + i) + 0.5f) / static_cast<float>(a.overlap * scale);
}

template <class Sample>
ACUTANCE_FN float residual_at(const Tiles& t, int tile, int channel, int row, int col) {
  return to_float(
      static_cast<const Sample*>(t.data)[(tile - t.first) * t.tile + channel * t.channel + row * t.row + col * t.col]);
}

// The stitched residual of output pixel (i, j) of the input pixel at places (r, c).
template <class Sample>
ACUTANCE_FN float stitched(const AssembleArgs& a, const Place& r, const Place& c, int i, int j) {
  const int s = a.base.scale, across = axis_count(a.cols), channel = i * s + j;
  const auto along_row = [&](int tile, int row) {
    const int first = tile * across + c.tile;
    const float value = residual_at<Sample>(a.residual, first, channel, row, c.at);
    if (c.before < 0) return value;
    const float w = blend_weight(a.cols, c, j, s);
    return (1.0f - w) * residual_at<Sample>(a.residual, first - 1, channel, row, c.before) + w * value;
  };
  const float value = along_row(r.tile, r.at);
  if (r.before < 0) return value;
  const float w = blend_weight(a.rows, r, i, s);
  return (1.0f - w) * along_row(r.tile - 1, r.before) + w * value;
}

template <class Pixel>
ACUTANCE_FN Pixel to_pixel(float y) {
  return static_cast<Pixel>(y);
}

// Adds n residuals `d` to n base samples y, bounds or guards them, and returns how many were not finite.
template <class Pixel>
ACUTANCE_FN int finish_block(const Levels& v, bool guard, const float* d, int n, float x, float* y) {
  int nonfinite = 0;
  ACUTANCE_UNROLL
  for (int k = 0; k < n; ++k) {
    const float sum = y[k] + d[k];
    if (is_finite(sum))
      y[k] = sum;
    else
      ++nonfinite;
  }
  if (guard) guard_block<Pixel>(y, n, x, v.low, v.high);
  ACUTANCE_UNROLL
  for (int k = 0; k < n; ++k) {
    y[k] = clamp(y[k], v.low, v.high);
    if (!IsFloat<Pixel>::value) y[k] = rintf(y[k]);
  }
  return nonfinite;
}

// Writes the block of input pixel (row, col), every colour, and returns how many samples were not finite. S is the
// scale where it is known when this is compiled, else 0.
template <class Pixel, class Sample, int S = 0>
ACUTANCE_FN int assemble_block(const AssembleArgs& a, const Levels& v, int row, int col) {
  const int s = S ? S : a.base.scale, n = s * s, colours = a.picture.colours;
  const bool masked = a.mask && a.mask[row * a.mask_pitch + col];
  float d[kMaxBlock], y[kMaxBlock];
  ACUTANCE_UNROLL
  for (int k = 0; k < n; ++k) d[k] = 0.0f;
  if (!v.base_alone && !masked) {
    const Place r = place_of(a.rows, row, s), c = place_of(a.cols, col, s);
    ACUTANCE_UNROLL
    for (int k = 0; k < n; ++k) d[k] = stitched<Sample>(a, r, c, k / s, k % s) * v.per_unit;
  }
  int nonfinite = 0;
  for (int colour = 0; colour < colours; ++colour) {
    if (masked) {
      ACUTANCE_UNROLL
      for (int k = 0; k < n; ++k) y[k] = v.padding;
    } else {
      base_block<Pixel, S>(a.base, a.picture, row, col, colour, y);
      const float x =
          static_cast<float>(pixel_row<Pixel>(a.picture, row)[static_cast<int64_t>(col) * colours + colour]);
      nonfinite += finish_block<Pixel>(v, a.guard, d, n, x, y);
    }
    ACUTANCE_UNROLL
    for (int i = 0; i < s; ++i) {
      Pixel* to = pixel_row_to<Pixel>(a.out, row * s + i) + static_cast<int64_t>(col) * s * colours + colour;
      ACUTANCE_UNROLL
      for (int j = 0; j < s; ++j) to[j * colours] = to_pixel<Pixel>(y[i * s + j]);
    }
  }
  return nonfinite;
}

}  // namespace acutance
