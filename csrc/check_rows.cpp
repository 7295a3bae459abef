// Compares rows of vector instructions with the functors on random pictures; for processors that the Python tests do
// not run on (see check_neon.sh). Exit status 1 and a line for each difference.
#include <cmath>
#include <cstdio>
#include <limits>
#include <random>
#include <type_traits>
#include <vector>

#include "rows.h"

namespace acutance {
namespace {

#ifdef ACUTANCE_ROWS_NEON
const Rows& kRows = kRowsNeon;
#else
const Rows& kRows = kRowsAvx2;
#endif

std::mt19937 generator(1);

int below(int n) {
  return static_cast<int>(generator() % static_cast<unsigned>(n));
}

template <class Pixel>
constexpr Type type_of() {
  if (sizeof(Pixel) == 1) return Type::u8;
  if (sizeof(Pixel) == 4) return Type::f32;
  return std::is_signed<Pixel>::value ? Type::i16 : Type::u16;
}

template <class T>
bool same(const std::vector<T>& a, const std::vector<T>& b) {
  return memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

template <class Pixel>
std::vector<Pixel> random_pixels(size_t count) {
  std::vector<Pixel> pixels(count);
  for (Pixel& p : pixels) p = static_cast<Pixel>(below(4) ? below(300) : below(60000));
  return pixels;
}

template <class Sample>
std::vector<Sample> random_samples(size_t count, bool some_bad) {
  std::vector<Sample> samples(count);
  for (Sample& x : samples) store(&x, some_bad && !below(50) ? NAN : static_cast<float>(below(2000) - 1000) / 300);
  return samples;
}

Axis random_axis(int most, int halo, int overlap) {
  return Axis{1 + below(most), 2 * (halo + overlap) + 1 + below(most), halo, overlap};
}

void set_limits(AssembleArgs& a, bool narrow, float low, float high) {
  a.low = narrow ? 0 : low;
  a.high = narrow ? 200 : high;
}

// One picture through both ops; returns whether all is the same.
template <class Pixel, class Sample>
bool check(int trial) {
  const int s = 1 + below(kMaxScale), colours = below(3) ? 1 : 3, halo = below(3), overlap = below(4);
  const Axis rows = random_axis(10, halo, overlap), cols = random_axis(50, halo, overlap);
  const bool nhwc = below(4) == 0;
  const int64_t h = rows.tile, w = cols.tile, channels = nhwc ? (s * s + 7) / 8 * 8 : s * s;
  const int count = axis_count(rows) * axis_count(cols);
  auto pixels = random_pixels<Pixel>(static_cast<size_t>(rows.size) * cols.size * colours);
  auto samples = random_samples<Sample>(static_cast<size_t>(count * channels * h * w), trial % 5 == 0);
  std::vector<uint8_t> mask(static_cast<size_t>(rows.size) * cols.size);
  for (uint8_t& m : mask) m = !below(5);

  AssembleArgs a{};
  const int64_t pitch = static_cast<int64_t>(sizeof(Pixel)) * cols.size * colours;
  a.picture = Picture{pixels.data(), pitch, rows.size, cols.size, colours, type_of<Pixel>()};
  a.residual = Tiles{samples.data(),
                     channels * h * w,
                     h * w,
                     w,
                     1,
                     0,
                     count,
                     static_cast<int>(channels),
                     sizeof(Sample) == 2 ? Type::f16 : Type::f32};
  if (nhwc) a.residual.channel = 1, a.residual.row = w * channels, a.residual.col = channels;
  if (!below(8)) a.residual.data = nullptr;
  a.rows = rows, a.cols = cols, a.row1 = rows.size, a.padding = 7, a.guard = below(2),
  a.per_unit = below(2) ? 1 : 97.3f;
  a.base = base_table(below(2) ? Filter::cubic : Filter::lanczos4, s);
  if (below(2)) a.mask = mask.data(), a.mask_pitch = cols.size;
  using Limits = std::numeric_limits<Pixel>;
  if (std::is_integral<Pixel>::value)
    set_limits(a, below(2), Limits::lowest(), Limits::max());
  else
    set_limits(a, below(2), -INFINITY, INFINITY);
  std::vector<Pixel> wanted(pixels.size() * s * s), found(wanted);
  a.out = Picture{wanted.data(), pitch * s, rows.size * s, cols.size * s, colours, a.picture.type};
  int64_t nonfinite = 0;
  for (int r = 0; r < rows.size; ++r)
    for (int c = 0; c < cols.size; ++c) nonfinite += assemble_block<Pixel, Sample>(a, r, c);
  a.out.data = found.data();
  std::vector<float> scratch(scratch_floats(a));
  const bool right = kRows.assemble(a, 0, rows.size, scratch.data()) == nonfinite && same(wanted, found);

  std::vector<Sample> tiles(samples.size()), others(samples.size());
  GatherArgs g{a.picture, a.residual, rows, cols, 1, 0.013f, -0.4f};
  g.tiles.data = tiles.data();
  for (int t = 0; t < count; ++t)
    for (int row = 0; row < h; ++row)
      for (int k = 0; k < channels * w; ++k) gather_element<Pixel, Sample>(g, t, k / w, row, k % w);
  g.tiles.data = others.data();
  for (int t = 0; t < count; ++t)
    for (int row = 0; row < h; ++row) kRows.gather(g, t, row);
  const bool gathered = same(tiles, others);
  if (!right || !gathered)
    std::printf("%s: trial %d, scale %d, %dx%d pixels of type %d, guard %d\n", right ? "gather" : "assemble", trial, s,
                rows.size, cols.size, static_cast<int>(a.picture.type), a.guard);
  return right && gathered;
}

}  // namespace
}  // namespace acutance

int main() {
  using acutance::check;
  using acutance::Half;
  int wrong = 0;
  for (int trial = 0; trial < 400; ++trial) {
    wrong += !check<uint8_t, float>(trial) + !check<int16_t, float>(trial) + !check<uint16_t, float>(trial);
    wrong += !check<float, float>(trial) + !check<uint16_t, Half>(trial) + !check<float, Half>(trial);
  }
  std::printf("%s: %d of 2400 pictures differ\n", acutance::kRows.name, wrong);
  return wrong != 0;
}
