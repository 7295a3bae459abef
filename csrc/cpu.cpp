// The ops on the CPU: rows of the functors, spread over threads.
#include "cpu.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "dispatch.h"
#include "rows.h"
#include "threads.h"

namespace acutance {
namespace {

std::vector<const Rows*> all_rows() {
  std::vector<const Rows*> found;
#ifdef ACUTANCE_ROWS_AVX2
  if (kRowsAvx2.supported()) found.push_back(&kRowsAvx2);
#endif
#ifdef ACUTANCE_ROWS_NEON
  if (kRowsNeon.supported()) found.push_back(&kRowsNeon);
#endif
  return found;
}

// Null: the functors.
std::atomic<const Rows*>& current_rows() {
  static std::atomic<const Rows*> rows{all_rows().empty() ? nullptr : all_rows().back()};
  return rows;
}

// Threads worth starting for so many samples: starting one costs as much as some 20 thousand samples take.
int threads_for(int64_t samples, int asked) {
  return static_cast<int>(std::min<int64_t>(thread_count(asked), 1 + samples / 65536));
}

// Calls work(begin, end) for parts of [0, count), a few for each thread so that they end together.
template <class F>
void in_parts(int count, int threads, F&& work) {
  const int each = threads == 1 ? count : std::max(1, count / (4 * threads));
  parallel((count + each - 1) / each, threads,
           [&](int part) { work(part * each, std::min(count, (part + 1) * each)); });
}

void copy_rows(const Picture& from, const Picture& to, size_t sample) {
  for (int r = 0; r < from.rows; ++r)
    std::memmove(pixel_row_to<char>(to, r), pixel_row<char>(from, r), sample * from.cols * from.colours);
}

template <class Pixel, class Sample>
void gather_row(const GatherArgs& a, int tile, int row) {
  for (int channel = 0; channel < a.tiles.channels; ++channel)
    for (int col = 0; col < a.cols.tile; ++col) gather_element<Pixel, Sample>(a, a.mapping, tile, channel, row, col);
}

template <class Pixel, class Sample>
int64_t assemble_rows(const AssembleArgs& a, int row0, int row1) {
  const Levels levels = levels_of<Pixel>(a);
  int64_t nonfinite = 0;
  for (int row = row0; row < row1; ++row)
    for (int col = 0; col < a.picture.cols; ++col) nonfinite += assemble_block<Pixel, Sample>(a, levels, row, col);
  return nonfinite;
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
  in_parts(cols, threads, [&](int begin, int end) {
    std::vector<int32_t> last(end - begin, -1);
    for (int r = 0; r < rows; ++r)
      for (int c = begin; c < end; ++c) last[c - begin] = fill_down(a, r, c, last[c - begin]);
    std::fill(last.begin(), last.end(), -1);
    for (int r = rows - 1; r >= 0; --r)
      for (int c = begin; c < end; ++c) last[c - begin] = fill_up(a, r, c, last[c - begin]);
  });
  with_pixel(a.picture.type, [&](auto pixel) {
    in_parts(rows, threads, [&](int begin, int end) {
      std::vector<int32_t> winner(cols), from(cols);
      for (int r = begin; r < end; ++r)
        if (missing[r]) fill_row<decltype(pixel)>(a, r, winner.data(), from.data());
    });
  });
}

void gather_cpu(const GatherArgs& a, int threads) {
  const Tiles& t = a.tiles;
  const int h = a.rows.tile, w = a.cols.tile;
  const Rows* rows = current_rows();
  threads = threads_for(static_cast<int64_t>(t.count) * h * w * t.channels, threads);
  with_pixel(a.picture.type, [&](auto pixel) {
    with_sample(t.type, [&](auto sample) {
      in_parts(t.count * h, threads, [&](int begin, int end) {
        for (int i = begin; i < end; ++i) {
          const int tile = t.first + i / h, row = i % h;
          if (rows)
            rows->gather(a, tile, row);
          else
            gather_row<decltype(pixel), decltype(sample)>(a, tile, row);
        }
      });
    });
  });
}

int64_t assemble_cpu(const AssembleArgs& a, int threads) {
  const Rows* rows = current_rows();
  threads = threads_for(static_cast<int64_t>(a.row1 - a.row0) * a.picture.cols * a.base.scale * a.base.scale, threads);
  std::atomic<int64_t> nonfinite{0};
  with_pixel(a.picture.type, [&](auto pixel) {
    with_sample(a.residual.type, [&](auto sample) {
      in_parts(a.row1 - a.row0, threads, [&](int begin, int end) {
        begin += a.row0, end += a.row0;
        if (rows) {
          std::vector<float> scratch(scratch_floats(a));
          nonfinite += rows->assemble(a, begin, end, scratch.data());
        } else {
          nonfinite += assemble_rows<decltype(pixel), decltype(sample)>(a, begin, end);
        }
      });
    });
  });
  return nonfinite;
}

std::vector<std::string> paths() {
  std::vector<std::string> names{"plain"};
  for (const Rows* rows : all_rows()) names.emplace_back(rows->name);
  return names;
}

void use_path(const std::string& name) {
  const Rows* chosen = nullptr;
  for (const Rows* rows : all_rows())
    if (name == rows->name) chosen = rows;
  if (!chosen && name != "plain") throw ArgumentError("path is '" + name + "'; this processor has no such path");
  current_rows() = chosen;
}

}  // namespace acutance
