// gather: one sample of a tile.
#pragma once

#include "value.h"

namespace acutance {

// A tile holds gain * stored + bias.
struct Mapping {
  float gain, bias;
};

struct GatherArgs {
  Picture picture;
  Tiles tiles;
  Axis rows, cols;
  int unshuffle;
  Mapping mapping;
  const Params* params;  // null: `mapping` holds
};

ACUTANCE_FN Mapping mapping_of(const GatherArgs& a) {
  return a.params ? Mapping{a.params->gain, a.params->bias} : a.mapping;
}

// Sample of the tile with number `tile` (in the plan) at `row`, `col`. Channel i*u+j is sample (i, j) of each u x u
// block, as torch's PixelUnshuffle; channels beyond u*u are zero.
template <class Pixel>
ACUTANCE_FN float gather_value(const GatherArgs& a, const Mapping& m, int tile, int channel, int row, int col) {
  const int across = axis_count(a.cols), u = a.unshuffle;
  if (channel >= u * u) return 0.0f;
  const int64_t y = static_cast<int64_t>(axis_origin(a.rows, tile / across) + row) * u + channel / u;
  const int64_t x = static_cast<int64_t>(axis_origin(a.cols, tile % across) + col) * u + channel % u;
  const Pixel* from = pixel_row<Pixel>(a.picture, mirror(y, a.picture.rows));
  return m.gain * gray_of(from, mirror(x, a.picture.cols), a.picture.colours) + m.bias;
}

// The same, put where it belongs.
template <class Pixel, class Sample>
ACUTANCE_FN void gather_element(const GatherArgs& a, const Mapping& m, int tile, int channel, int row, int col) {
  const Tiles& t = a.tiles;
  store(static_cast<Sample*>(t.data) + (tile - t.first) * t.tile + channel * t.channel + row * t.row + col * t.col,
        gather_value<Pixel>(a, m, tile, channel, row, col));
}

}  // namespace acutance
