// Rows over the vectors of vec.h; included once for each instruction set.
#pragma once

#include "rows.h"
#include "vec.h"

namespace acutance {
namespace {

template <class Pixel>
ACUTANCE_INLINE Floats load_gray(const Pixel* row, int col, int colours) {
  if (colours == 1) return load_pixels(row + col);
  float lanes[kLanes];
  for (int l = 0; l < kLanes; ++l) lanes[l] = gray_of(row, col + l, colours);
  return load(lanes);
}

// The columns inside the picture of a tile's row whose samples lie side by side; the functor does all others.
template <class Pixel, class Sample>
void gather_row(const GatherArgs& a, int tile, int row) {
  const int across = axis_count(a.cols), width = a.cols.tile;
  int begin = 0, end = 0;
  if (a.unshuffle == 1 && a.tiles.col == 1) {
    const int x = axis_origin(a.cols, tile % across);
    const int y = mirror(axis_origin(a.rows, tile / across) + static_cast<int64_t>(row), a.picture.rows);
    const Pixel* from = pixel_row<Pixel>(a.picture, y);
    Sample* to = static_cast<Sample*>(a.tiles.data) + (tile - a.tiles.first) * a.tiles.tile + row * a.tiles.row;
    begin = end = x < 0 ? -x : 0;
    const int last = (a.picture.cols - x < width ? a.picture.cols - x : width) - kLanes;
    const Floats gain = all_of(a.mapping.gain), bias = all_of(a.mapping.bias);
    for (; end <= last; end += kLanes)
      store_samples(to + end, gain * load_gray(from, x + end, a.picture.colours) + bias);
  }
  for (int channel = 0; channel < a.tiles.channels; ++channel) {
    for (int col = 0; col < begin; ++col) gather_element<Pixel, Sample>(a, a.mapping, tile, channel, row, col);
    for (int col = end; col < width; ++col) gather_element<Pixel, Sample>(a, a.mapping, tile, channel, row, col);
  }
}

// What one row of output blocks is made from. `rows` are enlarged along the columns, one plane for each colour and
// phase.
struct Sources {
  const float* rows[kMaxTaps + 1];
  const float* centre;               // the input row, one plane for each colour
  const float* residual[kMaxBlock];  // null: none; residual[k][0] belongs to column residual_col
  int residual_col;
  int64_t stride;
};

// Row `at` of the picture enlarged along its columns into planes [colour][phase].
template <class Pixel, int S, int Taps>
void enlarge_row(const AssembleArgs& a, int64_t at, float* line, int64_t stride, float* planes) {
  const int cols = a.picture.cols, colours = a.picture.colours;
  const Pixel* from = pixel_row<Pixel>(a.picture, mirror(at, a.picture.rows));
  for (int colour = 0; colour < colours; ++colour) {
    int c = 0;
    if (colours == 1)
      for (; c + kLanes <= cols; c += kLanes) store(line + c, load_pixels(from + c));
    for (; c < cols; ++c) line[c] = static_cast<float>(from[static_cast<int64_t>(c) * colours + colour]);
    for (int k = 0; k < kRowMargin; ++k) {
      line[-1 - k] = line[mirror(-1 - k, cols)];
      line[cols + k] = line[mirror(static_cast<int64_t>(cols) + k, cols)];
    }
    for (int j = 0; j < S; ++j, planes += stride) {
      const float* first = line + a.base.first[j];
      for (c = 0; c < cols; c += kLanes) {
        Floats sum = a.base.weight[j][0] * load(first + c);
        for (int k = 1; k < Taps; ++k) sum += a.base.weight[j][k] * load(first + c + k);
        store(planes + c, sum);
      }
    }
  }
}

// All that a run of columns shares, in local memory, which the compiler knows no store of pixels to change.
template <class Pixel, int S, int Taps>
struct Run {
  const float* rows[Taps + 1];
  const float* centre;
  const float* residual[S * S];
  const uint8_t* mask;
  Pixel* out[S];
  Floats weight[S][Taps];
  Floats per_unit, low, high;
  float least, most, padding;
  int64_t stride;
  int colours;
  bool guard;
};

template <class Pixel, int S, int Taps>
ACUTANCE_INLINE Run<Pixel, S, Taps> run_of(const AssembleArgs& a, const Sources& from, int row, int begin) {
  Run<Pixel, S, Taps> run;
  run.colours = a.picture.colours;
  run.stride = from.stride;
  for (int at = 0; at <= Taps; ++at) run.rows[at] = from.rows[at] + begin;
  run.centre = from.centre + begin;
  for (int k = 0; k < S * S; ++k)
    run.residual[k] = from.residual[k] ? from.residual[k] + (begin - from.residual_col) : nullptr;
  run.mask = a.mask ? a.mask + row * a.mask_pitch + begin : nullptr;
  for (int i = 0; i < S; ++i) {
    run.out[i] = pixel_row_to<Pixel>(a.out, row * S + i) + static_cast<int64_t>(begin) * S * run.colours;
    for (int k = 0; k < Taps; ++k) run.weight[i][k] = all_of(a.base.weight[i][k]);
  }
  run.per_unit = all_of(a.levels.per_unit), run.low = all_of(a.levels.low), run.high = all_of(a.levels.high);
  run.least = a.levels.low, run.most = a.levels.high, run.padding = a.levels.padding;
  run.guard = a.guard;
  return run;
}

// The base of kLanes input pixels. Phase i of S starts at the first of the enlarged rows, or one later from the middle
// on.
template <class Pixel, int S, int Taps>
ACUTANCE_INLINE void base_of(const Run<Pixel, S, Taps>& run, int64_t offset, Floats* y) {
#pragma GCC unroll 9
  for (int at = 0; at <= Taps; ++at) {
    Floats across[S];
    for (int j = 0; j < S; ++j) across[j] = load(run.rows[at] + offset + j * run.stride);
#pragma GCC unroll 4
    for (int i = 0; i < S; ++i) {
      const int k = at - phase_start<S>(i);
      if (k < 0 || k >= Taps) continue;
      for (int j = 0; j < S; ++j) {
        const Floats part = run.weight[i][k] * across[j];
        y[i * S + j] = k == 0 ? part : y[i * S + j] + part;
      }
    }
  }
}

// y + d where that is finite; the other samples keep y and are counted in the lanes of `counted`.
template <int N>
__attribute__((noinline)) int add_what_is_finite(const Floats* d, unsigned counted, Floats* y) {
  int nonfinite = 0;
  for (int k = 0; k < N; ++k) {
    const Floats sum = y[k] + d[k];
    const Ints finite = sum * 0.0f == 0.0f;
    nonfinite += __builtin_popcount(~lanes_of(finite) & counted);
    y[k] = choose(finite, sum, y[k]);
  }
  return nonfinite;
}

template <int N>
ACUTANCE_INLINE int add_finite(const Floats* d, unsigned counted, Floats* y) {
  Floats sum[N], probe = all_of(0.0f);
  for (int k = 0; k < N; ++k) {
    sum[k] = y[k] + d[k];
    probe += sum[k] * 0.0f;
  }
  if (lanes_of(probe == 0.0f) == (1u << kLanes) - 1) {
    for (int k = 0; k < N; ++k) y[k] = sum[k];
    return 0;
  }
  Floats kept[N], added[N];
  for (int k = 0; k < N; ++k) kept[k] = y[k], added[k] = d[k];
  const int nonfinite = add_what_is_finite<N>(added, counted, kept);
  for (int k = 0; k < N; ++k) y[k] = kept[k];
  return nonfinite;
}

// guard_block() for the lanes in `which`, from `given` into y.
template <class Pixel, int N>
__attribute__((noinline)) void guard_lanes(unsigned which, const Floats* given, Floats x, float low, float high,
                                           Floats* y) {
  for (; which; which &= which - 1) {
    const int l = __builtin_ctz(which);
    float block[N];
    for (int k = 0; k < N; ++k) block[k] = given[k][l];
    guard_block<Pixel>(block, N, x[l], low, high);
    for (int k = 0; k < N; ++k) y[k][l] = block[k];
  }
}

// What guard_block() makes of y for the lanes in `which`, the others as `found`.
template <class Pixel, int N>
ACUTANCE_INLINE void guard_rest(unsigned which, Floats x, float low, float high, const Floats* found, Floats* y) {
  if (which) {
    Floats given[N], other[N];
    for (int k = 0; k < N; ++k) given[k] = y[k], other[k] = found[k];
    guard_lanes<Pixel, N>(which, given, x, low, high, other);
    for (int k = 0; k < N; ++k) y[k] = other[k];
  } else {
    for (int k = 0; k < N; ++k) y[k] = found[k];
  }
}

// guard_integers() of kLanes blocks; those that meet a bound are left to it.
template <class Pixel, int N>
ACUTANCE_INLINE void guard_whole(unsigned lanes, Floats x, float low, float high, Floats* y) {
  const Floats within = clamp(x, all_of(low), all_of(high)), least = low - within, most = high - within;
  const Floats reach = all_of(kGuardReach);
  Floats d[N], sum = all_of(0.0f);
  for (int k = 0; k < N; ++k) {
    d[k] = clamp(y[k] - within, -reach, reach);
    sum += d[k];
  }
  const Floats shift = sum / static_cast<float>(N);
  Ints bound = {}, rank[N] = {};
  Floats remainder[N], total = all_of(0.0f);
  for (int k = 0; k < N; ++k) {
    const Floats z = d[k] - shift;
    bound |= (z < least) | (z > most);
    d[k] = floor_of(z);
    remainder[k] = z - d[k];
    total += d[k];
    for (int j = 0; j < k; ++j) {
      const Ints earlier = remainder[j] >= remainder[k];
      rank[k] -= earlier;
      rank[j] += 1 + earlier;
    }
  }
  const Ints missing = -to_ints(total);
  bound |= (missing < 0) | (missing > N);
  for (int k = 0; k < N; ++k) {
    d[k] += choose(rank[k] < missing, all_of(1.0f), all_of(0.0f));
    bound |= d[k] > most;
    d[k] += within;
  }
  guard_rest<Pixel, N>(lanes_of(bound) & lanes, x, low, high, d, y);
}

// The projection of guard_floats() on half of the lanes; returns those that meet a bound.
template <int N>
ACUTANCE_INLINE Longs project_half(Doubles x, double low, double high, Doubles* d) {
  Doubles sum = {};
  for (int k = 0; k < N; ++k) sum += d[k] -= x;
  const Doubles shift = sum / static_cast<double>(N), least = low - x, most = high - x;
  Longs bound = {};
  for (int k = 0; k < N; ++k) {
    const Doubles z = d[k] - shift;
    bound |= (z < least) | (z > most);
    d[k] = z + x;
  }
  return bound;
}

// guard_floats() of kLanes blocks; those that meet a bound or are not finite are left to it.
template <int N>
ACUTANCE_INLINE void guard_float(unsigned lanes, Floats x, float low, float high, Floats* y) {
  Doubles a[N], b[N];
  Floats probe = x * 0.0f;
  for (int k = 0; k < N; ++k) {
    a[k] = lower(y[k]), b[k] = upper(y[k]);
    probe += y[k] * 0.0f;
  }
  const Longs bound_a = project_half<N>(lower(x), low, high, a), bound_b = project_half<N>(upper(x), low, high, b);
  Ints bound = (probe != 0.0f) | (x < low) | (x > high);
  Doubles rest_a = static_cast<double>(N) * lower(x), rest_b = static_cast<double>(N) * upper(x);
  Floats f[N], smallest = all_of(INFINITY);
  for (int k = 0; k < N; ++k) {
    f[k] = join(a[k], b[k]);
    bound |= (f[k] < low) | (f[k] > high);
    rest_a -= lower(f[k]), rest_b -= upper(f[k]);
    smallest = smaller(smallest, magnitude(f[k]));
  }
  Ints taken = {};
  for (int k = 0; k < N; ++k) {
    const Ints here = (magnitude(f[k]) == smallest) & ~taken;
    const Floats moved = join(lower(f[k]) + rest_a, upper(f[k]) + rest_b);
    bound |= here & ((moved < low) | (moved > high));
    f[k] = choose(here, moved, f[k]);
    taken |= here;
  }
  guard_rest<float, N>((lanes_of(bound) | lanes_of(bound_a, bound_b)) & lanes, x, low, high, f, y);
}

template <int N>
__attribute__((noinline)) void pad_lanes(unsigned which, float padding, Floats* y) {
  for (; which; which &= which - 1)
    for (int k = 0; k < N; ++k) y[k][__builtin_ctz(which)] = padding;
}

// The output samples of one colour; returns how many were not finite. `offset` counts from the first column of the run.
template <class Pixel, int S, int Taps>
ACUTANCE_INLINE int compute_group(const Run<Pixel, S, Taps>& run, int colour, int64_t offset, int count,
                                  unsigned masked, Floats* y) {
  constexpr int N = S * S;
  const unsigned counted = ((1u << count) - 1) & ~masked;
  Floats d[N];
  for (int k = 0; k < N; ++k) {
    d[k] = all_of(0.0f);
    if (!run.residual[k]) continue;
    const float* at = run.residual[k] + offset;
    d[k] = (count == kLanes ? load(at) : load_some(at, count)) * run.per_unit;
  }
  base_of(run, colour * S * run.stride + offset, y);
  const int nonfinite = add_finite<N>(d, counted, y);
  if (run.guard) {
    const Floats x = load(run.centre + colour * run.stride + offset);
    if constexpr (IsFloat<Pixel>::value) {
      guard_float<N>(counted, x, run.least, run.most, y);
    } else {
      guard_whole<Pixel, N>(counted, x, run.least, run.most, y);
    }
  }
  for (int k = 0; k < N; ++k) y[k] = clamp(y[k], run.low, run.high);
  if (masked) {
    Floats padded[N];
    for (int k = 0; k < N; ++k) padded[k] = y[k];
    pad_lanes<N>(masked, run.padding, padded);
    for (int k = 0; k < N; ++k) y[k] = padded[k];
  }
  return nonfinite;
}

// The blocks of `count` (up to kLanes) input pixels: every colour, masked or not.
template <class Pixel, int S, int Taps>
ACUTANCE_INLINE int assemble_group(const Run<Pixel, S, Taps>& run, int64_t offset, int count) {
  unsigned masked = 0;
  if (run.mask)
    for (int l = 0; l < count; ++l) masked |= static_cast<unsigned>(run.mask[offset + l] != 0) << l;
  Floats y[S * S];
  int nonfinite = 0;
  if (run.colours == 1 && count == kLanes) {
    nonfinite = compute_group(run, 0, offset, kLanes, masked, y);
    for (int i = 0; i < S; ++i) store_pixels<S>(run.out[i] + offset * S, y + i * S);
    return nonfinite;
  }
  Pixel piece[S][3 * S * kLanes];
  for (int colour = 0; colour < run.colours; ++colour) {
    nonfinite += compute_group(run, colour, offset, count, masked, y);
    for (int i = 0; i < S; ++i) {
      Pixel one[S * kLanes];
      store_pixels<S>(one, y + i * S);
      for (int l = 0; l < S * kLanes; ++l) piece[i][run.colours * l + colour] = one[l];
    }
  }
  for (int i = 0; i < S; ++i)
    memcpy(run.out[i] + offset * S * run.colours, piece[i], sizeof(Pixel) * S * count * run.colours);
  return nonfinite;
}

template <class Pixel, int S, int Taps>
int assemble_columns(const AssembleArgs& a, const Sources& from, int row, int begin, int end) {
  const Run<Pixel, S, Taps> run = run_of<Pixel, S, Taps>(a, from, row, begin);
  const int64_t count = end - begin;
  int64_t c = 0;
  int nonfinite = 0;
  for (; c + kLanes <= count; c += kLanes) nonfinite += assemble_group(run, c, kLanes);
  return c == count ? nonfinite : nonfinite + assemble_group(run, c, static_cast<int>(count - c));
}

// Stitches residuals of columns begin .. end-1, all of one tile, into planes whose first sample is column 0.
template <class Sample>
void stitch_columns(const AssembleArgs& a, const Place& r, int begin, int end, int64_t stride, float* planes) {
  const int s = a.base.scale;
  const Tiles& t = a.residual;
  for (int c = begin; c < end; ++c) {
    const Place p = place_of(a.cols, c, s);
    const bool plain = r.before < 0 && p.before < 0;
    if (plain && t.col == 1) {
      const int64_t tile = static_cast<int64_t>(r.tile) * axis_count(a.cols) + p.tile - t.first;
      const Sample* from = static_cast<const Sample*>(t.data) + tile * t.tile + r.at * t.row + p.at;
      for (int k = 0; k < s * s; ++k) {
        int l = c;
        for (; l + kLanes <= end; l += kLanes)
          store(planes + k * stride + l, load_samples(from + k * t.channel + (l - c)));
        for (; l < end; ++l) planes[k * stride + l] = to_float(from[k * t.channel + (l - c)]);
      }
      return;
    }
    for (int k = 0; k < s * s; ++k) planes[k * stride + c] = stitched<Sample>(a, r, p, k / s, k % s);
  }
}

// One row, tile by tile; float32 samples that lie side by side and are not blended are read where they are.
template <class Pixel, int S, int Taps>
int assemble_row(const AssembleArgs& a, Sources& from, int row, float* planes) {
  const Tiles& t = a.residual;
  for (int k = 0; k < S * S; ++k) from.residual[k] = t.data ? planes + k * from.stride : nullptr;
  from.residual_col = 0;
  if (!t.data) return assemble_columns<Pixel, S, Taps>(a, from, row, 0, a.picture.cols);
  const Place r = place_of(a.rows, row, S);
  const int across = axis_count(a.cols);
  const bool direct = t.type == Type::f32 && t.col == 1 && a.cols.overlap == 0 && r.before < 0;
  int nonfinite = 0;
  for (int i = 0; i < across; ++i) {
    const int begin = i * axis_step(a.cols), end = i == across - 1 ? a.cols.size : begin + axis_step(a.cols);
    if (direct) {
      const int64_t tile = static_cast<int64_t>(r.tile) * across + i - t.first;
      const float* first = static_cast<const float*>(t.data) + tile * t.tile + r.at * t.row;
      for (int k = 0; k < S * S; ++k) from.residual[k] = first + k * t.channel + (begin - axis_origin(a.cols, i));
      from.residual_col = begin;
      nonfinite += assemble_columns<Pixel, S, Taps>(a, from, row, begin, end);
    } else if (t.type == Type::f16) {
      stitch_columns<Half>(a, r, begin, end, from.stride, planes);
    } else {
      stitch_columns<float>(a, r, begin, end, from.stride, planes);
    }
  }
  return direct ? nonfinite : assemble_columns<Pixel, S, Taps>(a, from, row, 0, a.picture.cols);
}

template <class Pixel, int S, int Taps>
int64_t assemble_band(const AssembleArgs& a, int row0, int row1, float* scratch) {
  const int colours = a.picture.colours;
  Sources from{};
  from.stride = row_stride(a);
  float* line = scratch + kRowMargin;
  float* ring = line + from.stride + kRowMargin;
  const int64_t ring_row = from.stride * S * colours;
  float* centre = ring + (Taps + 1) * ring_row;
  float* planes = centre + colours * from.stride;
  from.centre = centre;
  const int64_t reach = a.base.first[0];
  int64_t nonfinite = 0, known = row0 + reach;  // rows before this one are in the ring
  for (int row = row0; row < row1; ++row) {
    for (; known <= row + reach + Taps; ++known)
      enlarge_row<Pixel, S, Taps>(a, known, line, from.stride, ring + (known - row0 - reach) % (Taps + 1) * ring_row);
    for (int at = 0; at <= Taps; ++at) from.rows[at] = ring + (row - row0 + at) % (Taps + 1) * ring_row;
    if (a.guard) {
      const Pixel* pixels = pixel_row<Pixel>(a.picture, row);
      for (int c = 0; c < a.picture.cols; ++c)
        for (int k = 0; k < colours; ++k)
          centre[k * from.stride + c] = static_cast<float>(pixels[static_cast<int64_t>(c) * colours + k]);
    }
    nonfinite += assemble_row<Pixel, S, Taps>(a, from, row, planes);
  }
  return nonfinite;
}

template <class Pixel, int S>
int64_t assemble_scaled(const AssembleArgs& a, int row0, int row1, float* scratch) {
  return a.base.taps == 4 ? assemble_band<Pixel, S, 4>(a, row0, row1, scratch)
                          : assemble_band<Pixel, S, 8>(a, row0, row1, scratch);
}

template <class Pixel>
int64_t assemble_pixels(const AssembleArgs& a, int row0, int row1, float* scratch) {
  switch (a.base.scale) {
    case 1:
      return assemble_scaled<Pixel, 1>(a, row0, row1, scratch);
    case 2:
      return assemble_scaled<Pixel, 2>(a, row0, row1, scratch);
    case 3:
      return assemble_scaled<Pixel, 3>(a, row0, row1, scratch);
    default:
      return assemble_scaled<Pixel, 4>(a, row0, row1, scratch);
  }
}

int64_t assemble(const AssembleArgs& a, int row0, int row1, float* scratch) {
  switch (a.picture.type) {
    case Type::u8:
      return assemble_pixels<uint8_t>(a, row0, row1, scratch);
    case Type::i16:
      return assemble_pixels<int16_t>(a, row0, row1, scratch);
    case Type::u16:
      return assemble_pixels<uint16_t>(a, row0, row1, scratch);
    default:
      return assemble_pixels<float>(a, row0, row1, scratch);
  }
}

template <class Pixel>
void gather_pixels(const GatherArgs& a, int tile, int row) {
  if (a.tiles.type == Type::f16)
    gather_row<Pixel, Half>(a, tile, row);
  else
    gather_row<Pixel, float>(a, tile, row);
}

void gather(const GatherArgs& a, int tile, int row) {
  switch (a.picture.type) {
    case Type::u8:
      return gather_pixels<uint8_t>(a, tile, row);
    case Type::i16:
      return gather_pixels<int16_t>(a, tile, row);
    case Type::u16:
      return gather_pixels<uint16_t>(a, tile, row);
    default:
      return gather_pixels<float>(a, tile, row);
  }
}

}  // namespace
}  // namespace acutance
