// gather on a CUDA device: 16 bytes of a tile.
#pragma once

#include "core/gather.h"
#include "cuda_assemble.h"

namespace acutance {
namespace {

template <class Pixel, int Count>
struct alignas(sizeof(Pixel) * Count < kPack ? sizeof(Pixel) * Count : kPack) Pixels {
  Pixel at[Count];
};

// At once where they lie so, else one by one: tiles start at any column.
template <class Pixel, int Count>
ACUTANCE_FN Pixels<Pixel, Count> load_pixels(const Pixel* from) {
  using All = Pixels<Pixel, Count>;
  if (reinterpret_cast<uintptr_t>(from) % alignof(All) == 0) return *reinterpret_cast<const All*>(from);
  All pixels;
  ACUTANCE_UNROLL
  for (int n = 0; n < Count; ++n) pixels.at[n] = from[n];
  return pixels;
}

// Packs at column `col` of a plane (a tile's channel), in rows row, row + step and so on. Where a pack's pixels
// are mirrored at the picture's edge they are done one by one.
template <class Pixel, class Sample>
ACUTANCE_FN void gather_column_packs(const GatherArgs& a, const Mapping& m, int plane, int col, int row, int step) {
  using Packed = Pack<Sample>;
  constexpr int kCount = Packed::kCount;
  const Tiles& t = a.tiles;
  const int u = a.unshuffle, colours = a.picture.colours, across = axis_count(a.cols);
  const int tile = t.first + plane / t.channels, channel = plane % t.channels;
  const int64_t x = static_cast<int64_t>(axis_origin(a.cols, tile % across) + col) * u + channel % u;
  const int64_t y = static_cast<int64_t>(axis_origin(a.rows, tile / across)) * u + channel / u;
  const bool inside = x >= 0 && x + (kCount - 1) * u < a.picture.cols;
  Sample* to = static_cast<Sample*>(t.data) + (tile - t.first) * t.tile + channel * t.channel + col;
  for (; row < a.rows.tile; row += step) {
    const Pixel* line = pixel_row<Pixel>(a.picture, mirror(y + static_cast<int64_t>(row) * u, a.picture.rows));
    Sample* out = to + row * t.row;
    if (!inside) {
      ACUTANCE_NO_UNROLL
      for (int n = 0; n < kCount; ++n)
        store(out + n, m.gain * gray_of(line, mirror(x + n * u, a.picture.cols), colours) + m.bias);
      continue;
    }
    const Pixel* from = line + x * colours;
    Packed pack;
    if (u == 1 && colours == 1) {
      const Pixels<Pixel, kCount> pixels = load_pixels<Pixel, kCount>(from);
      ACUTANCE_UNROLL
      for (int n = 0; n < kCount; ++n) store(&pack.at[n], m.gain * static_cast<float>(pixels.at[n]) + m.bias);
    } else {
      ACUTANCE_UNROLL
      for (int n = 0; n < kCount; ++n) store(&pack.at[n], m.gain * gray_of(from, n * u, colours) + m.bias);
    }
    *reinterpret_cast<Packed*>(out) = pack;
  }
}

// Channels channel .. of one pixel.
template <class Pixel, class Sample>
ACUTANCE_FN void gather_channel_pack(const GatherArgs& a, const Mapping& m, int tile, int channel, int row, int col) {
  using Packed = Pack<Sample>;
  const Tiles& t = a.tiles;
  const int left = a.unshuffle * a.unshuffle - channel;
  Packed pack;
  ACUTANCE_UNROLL
  for (int n = 0; n < Packed::kCount; ++n) store(&pack.at[n], 0.0f);
  ACUTANCE_NO_UNROLL
  for (int n = 0; n < Packed::kCount && n < left; ++n) {
    const float value = gather_value<Pixel>(a, m, t.first + tile, channel + n, row, col);
    ACUTANCE_UNROLL
    for (int k = 0; k < Packed::kCount; ++k)
      if (k == n) store(&pack.at[k], value);
  }
  Sample* to = static_cast<Sample*>(t.data) + tile * t.tile + row * t.row + col * t.col + channel;
  *reinterpret_cast<Packed*>(to) = pack;
}

}  // namespace
}  // namespace acutance
