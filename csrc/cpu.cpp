// The ops on the CPU: rows of the functors, spread over threads.
#include "cpu.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "threads.h"

namespace acutance {
namespace {

// Calls f with a value of the pixel's C++ type.
template <class F>
auto with_pixel(Type t, F&& f) {
  switch (t) {
    case Type::u8:
      return f(uint8_t{});
    case Type::i16:
      return f(int16_t{});
    case Type::u16:
      return f(uint16_t{});
    default:
      return f(float{});
  }
}

template <class F>
auto with_sample(Type t, F&& f) {
  return t == Type::f16 ? f(Half{}) : f(float{});
}

// Threads worth starting for so many samples: starting one costs as much as some 20 thousand samples take.
int threads_for(int64_t samples, int asked) {
  return static_cast<int>(std::min<int64_t>(thread_count(asked), 1 + samples / 65536));
}

// Splits `count` rows into parts for `threads` threads, a few each so that they end together.
int rows_each(int count, int threads) {
  return threads == 1 ? count : std::max(1, count / (4 * threads));
}

void copy_rows(const Picture& from, const Picture& to, size_t sample) {
  for (int r = 0; r < from.rows; ++r)
    std::memmove(pixel_row_to<char>(to, r), pixel_row<char>(from, r), sample * from.cols * from.colours);
}

}  // namespace

void fill_cpu(FillArgs a, int threads) {
  const int rows = a.picture.rows, cols = a.picture.cols;
  const int64_t all = static_cast<int64_t>(rows) * cols;
  threads = threads_for(all, threads);
  const size_t sample = with_pixel(a.picture.type, [](auto p) { return sizeof(p); });
  if (a.out.data != a.picture.data) copy_rows(a.picture, a.out, sample);
  std::vector<uint8_t> missing(rows);
  for (int r = 0; r < rows; ++r)
    for (int c = 0; c < cols && !missing[r]; ++c) missing[r] = a.mask[r * a.mask_pitch + c] != 0;
  if (std::find(missing.begin(), missing.end(), 1) == missing.end()) return;
  std::vector<int32_t> nearest(all);
  a.nearest = nearest.data();
  constexpr int kStrip = 64;
  parallel((cols + kStrip - 1) / kStrip, threads, [&](int part) {
    for (int c = part * kStrip; c < std::min(cols, (part + 1) * kStrip); ++c) fill_column(a, c);
  });
  const int each = rows_each(rows, threads);
  with_pixel(a.picture.type, [&](auto pixel) {
    parallel((rows + each - 1) / each, threads, [&](int part) {
      std::vector<int32_t> winner(cols), from(cols);
      for (int r = part * each; r < std::min(rows, (part + 1) * each); ++r)
        if (missing[r]) fill_row<decltype(pixel)>(a, r, winner.data(), from.data());
    });
  });
}

void gather_cpu(const GatherArgs& a, int threads) {
  const Tiles& t = a.tiles;
  const int h = a.rows.tile, w = a.cols.tile;
  threads = threads_for(static_cast<int64_t>(t.count) * h * w * t.channels, threads);
  with_pixel(a.picture.type, [&](auto pixel) {
    with_sample(t.type, [&](auto sample) {
      parallel(t.count * h, threads, [&](int part) {
        const int tile = t.first + part / h, row = part % h;
        for (int channel = 0; channel < t.channels; ++channel)
          for (int col = 0; col < w; ++col)
            gather_element<decltype(pixel), decltype(sample)>(a, tile, channel, row, col);
      });
    });
  });
}

int64_t assemble_cpu(const AssembleArgs& a, int threads) {
  const int rows = a.row1 - a.row0;
  threads = threads_for(static_cast<int64_t>(rows) * a.picture.cols * a.base.scale * a.base.scale, threads);
  const int each = rows_each(rows, threads);
  std::atomic<int64_t> nonfinite{0};
  with_pixel(a.picture.type, [&](auto pixel) {
    with_sample(a.residual.type, [&](auto sample) {
      parallel((rows + each - 1) / each, threads, [&](int part) {
        int64_t found = 0;
        for (int r = a.row0 + part * each; r < std::min(a.row1, a.row0 + (part + 1) * each); ++r)
          for (int c = 0; c < a.picture.cols; ++c) found += assemble_block<decltype(pixel), decltype(sample)>(a, r, c);
        nonfinite += found;
      });
    });
  });
  return nonfinite;
}

}  // namespace acutance
