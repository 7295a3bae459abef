// assemble on a CUDA device: what one block of threads does, in steps with barriers between them.
//
// A block makes the output of kPartCols x kPartRows input pixels of one tile, one thread each. What is read more than
// once lies in shared memory: the stored values in float32 with the filter's reach around them, the same enlarged along
// the columns, and the stitched residual. Device memory is read and written 16 bytes at a time: a residual's columns
// (NCHW) or channels (NHWC), and the output, which is put together row by row in shared memory first.
//
// Bounds: of an input pixel of 2 bytes, scale 2 and half residual, 2 + 8 + 8 bytes go through device memory, beside
// some 100 instructions without the guard; at scale 4, 2 + 32 + 32 bytes and some 300. Both roofs are near each other.
// The guard adds loops over the block's samples, as many as meet a bound or are rounded up, and moves no memory.
#pragma once

#include "core/assemble.h"

namespace acutance {
namespace {

constexpr int kPartCols = 32, kPartRows = 8, kPartThreads = kPartCols * kPartRows;
constexpr int kPack = 16;  // bytes of the widest load and store

template <class T>
struct alignas(kPack) Pack {
  static constexpr int kCount = kPack / static_cast<int>(sizeof(T));
  T at[kCount];
};

// How a block reads the residual: sample by sample, which blends and takes any alignment, or in packs.
enum class Read { samples, columns, channels };

// The parts of a picture along one axis: `parts` for each tile from `first_tile` on, the first of which starts at
// `start` in the tile.
struct Cut {
  int first_tile, start, parts;
};

// One part along one axis: coordinates of its first pixel in the tile and in the picture, and the picture's pixels
// begin .. end-1 that it makes.
struct Part {
  int tile, at, first, begin, end;
};

ACUTANCE_FN Part part_of(const Axis& a, const Cut& cut, int length, int number) {
  Part p;
  p.tile = cut.first_tile + number / cut.parts;
  p.at = cut.start + number % cut.parts * length;
  p.first = axis_origin(a, p.tile) + p.at;
  const int begin = p.tile * axis_step(a), end = p.tile == axis_count(a) - 1 ? a.size : begin + axis_step(a);
  p.begin = begin > p.first ? begin : p.first;
  p.end = end < p.first + length ? end : p.first + length;
  return p;
}

template <class Pixel, int S>
struct PartMemory {
  // Colours of 8 bits are put together as well; wider ones are written as they come.
  static constexpr int kBytes = sizeof(Pixel) == 1 ? 3 : static_cast<int>(sizeof(Pixel));
  static constexpr int kRowPacks = kPartCols * S * kBytes / kPack + 1;

  float source[kPartRows + kMaxTaps][kPartCols + kMaxTaps];
  float across[kPartRows + kMaxTaps][S][kPartCols];
  alignas(kPack) float residual[S * S][kPartRows][kPartCols];
  Pack<uint8_t> out[kPartRows * S][kRowPacks];
};

// The pixels that the filter reaches from the part.
template <class Pixel, int S>
ACUTANCE_FN void load_source(const AssembleArgs& a, const Part& rows, const Part& cols, int colour, int tx, int ty,
                             PartMemory<Pixel, S>& m) {
  const int reach = a.base.first[0], colours = a.picture.colours;
  for (int r = ty; r < kPartRows + a.base.taps; r += kPartRows) {
    const int row = mirror(static_cast<int64_t>(rows.first) + reach + r, a.picture.rows);
    const Pixel* from = pixel_row<Pixel>(a.picture, row) + colour;
    for (int c = tx; c < kPartCols + a.base.taps; c += kPartCols) {
      const int64_t col = mirror(static_cast<int64_t>(cols.first) + reach + c, a.picture.cols);
      m.source[r][c] = static_cast<float>(from[col * colours]);
    }
  }
}

template <class Sample, int S>
ACUTANCE_FN void load_columns(const AssembleArgs& a, const Part& rows, const Part& cols, int thread,
                              float (*to)[kPartRows][kPartCols]) {
  using Packed = Pack<Sample>;
  constexpr int kAcross = kPartCols / Packed::kCount;
  const Tiles& t = a.residual;
  const int64_t tile = static_cast<int64_t>(rows.tile) * axis_count(a.cols) + cols.tile - t.first;
  const Sample* from = static_cast<const Sample*>(t.data) + tile * t.tile + rows.at * t.row + cols.at;
  for (int i = thread; i < S * S * kPartRows * kAcross; i += kPartThreads) {
    const int c = i % kAcross * Packed::kCount, r = i / kAcross % kPartRows, k = i / (kAcross * kPartRows);
    const int row = rows.first + r;
    if (row < rows.begin || row >= rows.end || cols.at + c >= a.cols.tile) continue;
    const Packed pack = *reinterpret_cast<const Packed*>(from + k * t.channel + r * t.row + c);
    // Four floats at once: one by one the threads' stores, 8 floats apart, would meet in the same banks.
    ACUTANCE_UNROLL
    for (int n = 0; n < Packed::kCount; n += Pack<float>::kCount) {
      Pack<float> four;
      ACUTANCE_UNROLL
      for (int l = 0; l < Pack<float>::kCount; ++l) four.at[l] = to_float(pack.at[n + l]);
      *reinterpret_cast<Pack<float>*>(&to[k][r][c + n]) = four;
    }
  }
}

template <class Sample, int S>
ACUTANCE_FN void load_channels(const AssembleArgs& a, const Part& rows, const Part& cols, int tx, int ty,
                               float (*to)[kPartRows][kPartCols]) {
  using Packed = Pack<Sample>;
  const Tiles& t = a.residual;
  const int64_t tile = static_cast<int64_t>(rows.tile) * axis_count(a.cols) + cols.tile - t.first;
  const Sample* from =
      static_cast<const Sample*>(t.data) + tile * t.tile + (rows.at + ty) * t.row + (cols.at + tx) * t.col;
  ACUTANCE_UNROLL
  for (int k = 0; k < S * S; k += Packed::kCount) {
    const Packed pack = *reinterpret_cast<const Packed*>(from + k);
    ACUTANCE_UNROLL
    for (int n = 0; n < Packed::kCount; ++n)
      if (k + n < S * S) to[k + n][ty][tx] = to_float(pack.at[n]);
  }
}

template <class Pixel, class Sample, int S>
ACUTANCE_FN void load_residual(const AssembleArgs& a, Read way, const Part& rows, const Part& cols, int tx, int ty,
                               PartMemory<Pixel, S>& m) {
  const int row = rows.first + ty, col = cols.first + tx;
  if (way == Read::columns) {
    load_columns<Sample, S>(a, rows, cols, ty * kPartCols + tx, m.residual);
  } else if (row >= rows.begin && row < rows.end && col >= cols.begin && col < cols.end) {
    if (way == Read::channels) {
      load_channels<Sample, S>(a, rows, cols, tx, ty, m.residual);
    } else {
      const Place r = place_of(a.rows, row, S), c = place_of(a.cols, col, S);
      ACUTANCE_NO_UNROLL
      for (int k = 0; k < S * S; ++k) m.residual[k][ty][tx] = stitched<Sample>(a, r, c, k / S, k % S);
    }
  }
}

// Enlarges the source along its columns; sums as base_block().
template <class Pixel, int S, int Taps>
ACUTANCE_FN void enlarge(const Base& b, int tx, int ty, PartMemory<Pixel, S>& m) {
  for (int r = ty; r < kPartRows + Taps; r += kPartRows) {
    float x[Taps + 1];
    ACUTANCE_UNROLL
    for (int k = 0; k < Taps + (S > 1); ++k) x[k] = m.source[r][tx + k];
    ACUTANCE_UNROLL
    for (int j = 0; j < S; ++j) {
      float sum = 0.0f;
      ACUTANCE_UNROLL
      for (int k = 0; k < Taps; ++k) {
        const float part = b.weight[j][k] * x[k + phase_start<S>(j)];
        sum = k == 0 ? part : sum + part;
      }
      m.across[r][j][tx] = sum;
    }
  }
}

// Then along its rows: the base of one input pixel.
template <class Pixel, int S, int Taps>
ACUTANCE_FN void base_of(const Base& b, int tx, int ty, const PartMemory<Pixel, S>& m, float* y) {
  ACUTANCE_UNROLL
  for (int at = 0; at < Taps + (S > 1); ++at) {
    float across[S];
    ACUTANCE_UNROLL
    for (int j = 0; j < S; ++j) across[j] = m.across[ty + at][j][tx];
    ACUTANCE_UNROLL
    for (int i = 0; i < S; ++i) {
      const int k = at - phase_start<S>(i);
      if (k < 0 || k >= Taps) continue;
      ACUTANCE_UNROLL
      for (int j = 0; j < S; ++j) {
        const float part = b.weight[i][k] * across[j];
        y[i * S + j] = k == 0 ? part : y[i * S + j] + part;
      }
    }
  }
}

// Bytes from a multiple of 16 in device memory to the part's first sample of output row `row`.
template <class Pixel, int S>
ACUTANCE_FN int out_offset(const AssembleArgs& a, const Part& cols, int row) {
  const Pixel* to = pixel_row<Pixel>(a.out, row) + static_cast<int64_t>(cols.begin) * S * a.out.colours;
  return static_cast<int>(reinterpret_cast<uintptr_t>(to) % kPack);
}

// Puts the block of one pixel and colour into shared memory or, when that has no room for the colours, where it
// belongs.
template <class Pixel, int S>
ACUTANCE_FN void put_block(const AssembleArgs& a, const Part& rows, const Part& cols, int row, int col, int colour,
                           bool staged, const float* y, PartMemory<Pixel, S>& m) {
  const int colours = a.out.colours;
  ACUTANCE_UNROLL
  for (int i = 0; i < S; ++i) {
    Pixel* to;
    if (staged) {
      auto* line = reinterpret_cast<uint8_t*>(m.out[(row - rows.first) * S + i]);
      to = reinterpret_cast<Pixel*>(line + out_offset<Pixel, S>(a, cols, row * S + i)) +
           (col - cols.begin) * S * colours + colour;
    } else {
      to = pixel_row_to<Pixel>(a.out, row * S + i) + static_cast<int64_t>(col) * S * colours + colour;
    }
    ACUTANCE_UNROLL
    for (int j = 0; j < S; ++j) to[j * colours] = to_pixel<Pixel>(y[i * S + j]);
  }
}

// The output of one pixel and colour; returns how many samples were not finite.
template <class Pixel, int S>
ACUTANCE_FN int finish_pixel(const AssembleArgs& a, const Levels& v, const Part& rows, const Part& cols, int row,
                             int col, int colour, bool masked, bool staged, PartMemory<Pixel, S>& m) {
  const int tx = col - cols.first, ty = row - rows.first;
  float y[S * S];
  int nonfinite = 0;
  if (masked) {
    ACUTANCE_UNROLL
    for (int k = 0; k < S * S; ++k) y[k] = v.padding;
  } else {
    float d[S * S];
    ACUTANCE_UNROLL
    for (int k = 0; k < S * S; ++k) d[k] = v.base_alone ? 0.0f : m.residual[k][ty][tx] * v.per_unit;
    if (a.base.taps == 4)
      base_of<Pixel, S, 4>(a.base, tx, ty, m, y);
    else
      base_of<Pixel, S, 8>(a.base, tx, ty, m, y);
    // Not from the shared source: other threads may be loading the next colour into it.
    const auto x =
        static_cast<float>(pixel_row<Pixel>(a.picture, row)[static_cast<int64_t>(col) * a.picture.colours + colour]);
    nonfinite = finish_block<Pixel>(v, a.guard, d, S * S, x, y);
  }
  put_block<Pixel, S>(a, rows, cols, row, col, colour, staged, y, m);
  return nonfinite;
}

// Writes the rows that were put together.
template <class Pixel, int S>
ACUTANCE_FN void write_rows(const AssembleArgs& a, const Part& rows, const Part& cols, int thread,
                            const PartMemory<Pixel, S>& m) {
  using Packed = Pack<Pixel>;
  constexpr int kAcross = PartMemory<Pixel, S>::kRowPacks;
  const int size = static_cast<int>(sizeof(Pixel));
  const int count = (cols.end - cols.begin) * S * a.out.colours;
  for (int i = thread; i < (rows.end - rows.begin) * S * kAcross; i += kPartThreads) {
    const int line = i / kAcross, pack = i % kAcross, row = rows.begin * S + line;
    const int before = out_offset<Pixel, S>(a, cols, row) / size;  // samples of the first pack that are not the part's
    const int from = pack * Packed::kCount - before;
    Pixel* to = pixel_row_to<Pixel>(a.out, row) + static_cast<int64_t>(cols.begin) * S * a.out.colours + from;
    const auto* whole = reinterpret_cast<const Packed*>(&m.out[(rows.begin - rows.first) * S + line][pack]);
    if (from >= 0 && from + Packed::kCount <= count) {
      *reinterpret_cast<Packed*>(to) = *whole;
    } else {
      ACUTANCE_NO_UNROLL
      for (int n = 0; n < Packed::kCount; ++n)
        if (from + n >= 0 && from + n < count) to[n] = whole->at[n];
    }
  }
}

}  // namespace
}  // namespace acutance
