// Compares the core, as the bindings call it, with its functors on random pictures: every path, several numbers of
// threads. For processors that the Python tests do not run on (see check_aarch64.sh). Prints a line for each difference
// and a digest of all results, which is the same on every processor; the exit status is 1 when something differs.
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <limits>
#include <mutex>
#include <numeric>
#include <random>
#include <set>
#include <thread>
#include <type_traits>
#include <vector>

#include "cpu.h"
#include "threads.h"

namespace acutance {
namespace {

const std::vector<int> kThreads{1, 2, 5};

std::mt19937 generator(1);
uint64_t digest = 14695981039346656037u;
int wrong = 0, trials = 0;

int below(int n) {
  return static_cast<int>(generator() % static_cast<unsigned>(n));
}

template <class... Parts>
void expect(bool right, const char* what, const Parts&... parts) {
  ++trials;
  if (right) return;
  ++wrong;
  std::printf("differs: ");
  std::printf(what, parts...);
  std::printf("\n");
}

template <class T>
bool same(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

// FNV-1a.
template <class T>
void add_to_digest(const std::vector<T>& values) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(values.data());
  for (size_t i = 0; i < values.size() * sizeof(T); ++i) digest = (digest ^ bytes[i]) * 1099511628211u;
}

// Calls work(path, threads) for each path and number of threads.
template <class F>
void by_every_way(F&& work) {
  for (const std::string& path : paths()) {
    use_path(path);
    for (const int threads : kThreads) work(path.c_str(), threads);
  }
}

template <class T>
const char* type_of() {
  if (std::is_same<T, Half>::value) return "f2";
  if (sizeof(T) == 4) return "f4";
  if (sizeof(T) == 1) return "u1";
  return std::is_signed<T>::value ? "i2" : "u2";
}

// A C-contiguous array, but for `gap` unused samples at the end of each row of the first axis.
template <class T>
Array array_of(const char* name, std::vector<T>& data, std::vector<int64_t> shape, int64_t gap = 0) {
  std::vector<int64_t> strides(shape.size());
  int64_t stride = sizeof(T);
  for (size_t i = shape.size(); i-- > 0;) {
    strides[i] = stride + (i == 0 ? gap * static_cast<int64_t>(sizeof(T)) : 0);
    stride *= shape[i];
  }
  return Array{name, data.data(), type_of<T>(), std::move(shape), std::move(strides), true, "cpu"};
}

template <class Pixel>
std::vector<Pixel> random_pixels(int64_t count) {
  std::vector<Pixel> pixels(count);
  for (Pixel& p : pixels) {
    const int most = below(4) ? 300 : 60000;
    p = static_cast<Pixel>(below(most));
  }
  return pixels;
}

template <class Sample>
std::vector<Sample> random_samples(int64_t count, bool some_bad) {
  std::vector<Sample> samples(count);
  for (Sample& x : samples) {
    const float value = static_cast<float>(below(2000) - 1000) / 300;
    store(&x, some_bad && !below(50) ? NAN : value);
  }
  return samples;
}

std::vector<uint8_t> random_mask(int64_t count, int one_in) {
  std::vector<uint8_t> mask(count);
  for (uint8_t& m : mask) m = !below(one_in);
  return mask;
}

// A picture of random pixels, and how it is cut.
template <class Pixel>
struct Slice {
  std::vector<int> rows, cols;  // size, tile, halo, overlap
  int64_t colours, gap;
  std::vector<Pixel> pixels;
  std::vector<uint8_t> mask;

  explicit Slice(int most_rows, int most_cols) {
    const int halo = below(3), overlap = below(4), least = 2 * (halo + overlap) + 1;
    for (const auto& [axis, most] : {std::pair{&rows, most_rows}, std::pair{&cols, most_cols}}) {
      const int size = most - below((most + 1) / 2), tile = least + below(most);
      *axis = {size, tile, halo, overlap};
    }
    colours = below(3) ? 1 : 3;
    gap = below(2) ? 0 : colours * below(5);
    pixels = random_pixels<Pixel>(rows[0] * (cols[0] * colours + gap));
    mask = random_mask(static_cast<int64_t>(rows[0]) * cols[0], 5);
  }
  std::vector<int64_t> shape(int scale) const {
    std::vector<int64_t> sides{rows[0] * scale, cols[0] * scale};
    if (colours == 3) sides.push_back(3);
    return sides;
  }
  Array array() { return array_of("slice", pixels, shape(1), gap); }
  Array mask_array() { return array_of("mask", mask, {rows[0], cols[0]}); }
  Grid grid() const { return check_grid(rows, cols); }
};

int64_t product(const std::vector<int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

std::vector<int64_t> tiles_shape(const Grid& g, bool nhwc, int64_t count, int64_t channels) {
  if (nhwc) return {count, g.rows.tile, g.cols.tile, (channels + 7) / 8 * 8};
  return {count, channels, g.rows.tile, g.cols.tile};
}

// Gains at which half-precision samples are ordinary, subnormal and infinite.
constexpr double kGains[] = {0.013, 3e-9, 60};

template <class Pixel, class Sample>
void try_gather(Slice<Pixel> slice) {
  const int unshuffle = 1 + below(2);
  const bool nhwc = below(3) == 0;
  for (auto* axis : {&slice.rows, &slice.cols}) (*axis)[0] /= unshuffle;
  const Grid grid = slice.grid();
  const int64_t rows = slice.rows[0] * unshuffle, cols = slice.cols[0] * unshuffle;
  std::vector<int64_t> sides{rows, cols};
  if (slice.colours == 3) sides.push_back(3);
  const int all = axis_count(grid.rows) * axis_count(grid.cols), first = below(all);
  const auto shape = tiles_shape(grid, nhwc, all - first, unshuffle * unshuffle);
  const double gain = kGains[below(3)];
  std::vector<Sample> wanted(product(shape)), found(wanted);
  const auto arguments = [&](std::vector<Sample>& tiles) {
    return check_gather(array_of("slice", slice.pixels, sides, slice.gap), grid, gain, -0.4, unshuffle,
                        nhwc ? "nhwc" : "nchw", first, array_of("out", tiles, shape));
  };
  const GatherArgs a = arguments(wanted);
  for (int tile = first; tile < all; ++tile)
    for (int channel = 0; channel < a.tiles.channels; ++channel)
      for (int row = 0; row < grid.rows.tile; ++row)
        for (int col = 0; col < grid.cols.tile; ++col)
          gather_element<Pixel, Sample>(a, a.mapping, tile, channel, row, col);
  add_to_digest(wanted);
  by_every_way([&](const char* path, int threads) {
    std::fill(found.begin(), found.end(), Sample{});
    gather_cpu(arguments(found), threads);
    expect(same(wanted, found), "gather by %s with %d threads: %dx%d pixels of %s, unshuffle %d, first tile %d of %d",
           path, threads, static_cast<int>(rows), static_cast<int>(cols), type_of<Pixel>(), unshuffle, first, all);
  });
}

template <class Pixel>
AssembleOptions random_options(int scale, int rows, bool nhwc) {
  AssembleOptions o{};
  o.gain = below(2) ? 1 : 1 / 97.3;
  o.base = below(2) ? "cubic" : "lanczos4";
  o.guard = below(2);
  if (below(2)) o.low = 0, o.high = 200;
  o.padding = 7;
  o.layout = nhwc ? "nhwc" : "nchw";
  o.scale = scale;
  o.row0 = below(2) ? 0 : below(rows);
  o.row1 = o.row0 + 1 + below(rows - o.row0);
  return o;
}

template <class Pixel, class Sample>
void try_assemble(Slice<Pixel> slice) {
  const int scale = 1 + below(kMaxScale);
  const bool nhwc = below(4) == 0, masked = below(2), alone = !below(8);
  const Grid grid = slice.grid();
  const auto shape = tiles_shape(grid, nhwc, axis_count(grid.rows) * axis_count(grid.cols), scale * scale);
  auto samples = random_samples<Sample>(product(shape), below(5) == 0);
  const AssembleOptions options = random_options<Pixel>(scale, slice.rows[0], nhwc);
  std::vector<Pixel> wanted(product(slice.shape(scale))), found(wanted);
  const auto arguments = [&](std::vector<Pixel>& out) {
    std::optional<Array> residual, mask;
    if (!alone) residual = array_of("residual", samples, shape);
    if (masked) mask = slice.mask_array();
    return check_assemble(residual, slice.array(), grid, options, mask, array_of("out", out, slice.shape(scale)));
  };
  const AssembleArgs a = arguments(wanted);
  const Levels levels = levels_of<Pixel>(a);
  int64_t nonfinite = 0;
  for (int row = a.row0; row < a.row1; ++row)
    for (int col = 0; col < a.picture.cols; ++col) nonfinite += assemble_block<Pixel, Sample>(a, levels, row, col);
  add_to_digest(wanted);
  by_every_way([&](const char* path, int threads) {
    std::fill(found.begin(), found.end(), Pixel{});
    const bool counted = assemble_cpu(arguments(found), threads) == nonfinite;
    expect(counted && same(wanted, found), "assemble by %s with %d threads: scale %d, %dx%d pixels of %s, guard %d",
           path, threads, scale, slice.rows[0], slice.cols[0], type_of<Pixel>(), options.guard);
  });
}

// The nearest valid sample by looking at all of them; ties go to the smallest row, then the smallest column.
template <class Pixel>
void fill_slowly(const Slice<Pixel>& slice, std::vector<Pixel>& out) {
  const int rows = slice.rows[0], cols = slice.cols[0], colours = static_cast<int>(slice.colours);
  const int64_t pitch = cols * slice.colours + slice.gap;
  for (int row = 0; row < rows; ++row)
    for (int col = 0; col < cols; ++col) {
      int64_t best = std::numeric_limits<int64_t>::max(), from = row * pitch + col * slice.colours;
      for (int r = 0; r < rows && slice.mask[row * cols + col]; ++r)
        for (int c = 0; c < cols; ++c) {
          const int64_t distance = (r - row) * (r - row) + (c - col) * (c - col);
          if (slice.mask[r * cols + c] || distance >= best) continue;
          best = distance, from = r * pitch + c * slice.colours;
        }
      for (int k = 0; k < colours; ++k) out[(row * cols + col) * slice.colours + k] = slice.pixels[from + k];
    }
}

template <class Pixel>
void try_fill(Slice<Pixel> slice, bool small) {
  slice.mask = random_mask(static_cast<int64_t>(slice.mask.size()), 1 + below(8));
  std::vector<Pixel> wanted(product(slice.shape(1))), found(wanted);
  if (small) {
    fill_slowly(slice, wanted);
  } else {
    std::vector<int32_t> nearest(slice.mask.size());
    FillArgs a = check_fill(slice.array(), slice.mask_array(), array_of("out", wanted, slice.shape(1)));
    a.nearest = nearest.data();
    for (int c = 0; c < a.picture.cols; ++c) fill_column(a, c);
    for (int r = 0; r < a.picture.rows; ++r)
      for (int c = 0; c < a.picture.cols; ++c) fill_pixel<Pixel>(a, r, c);
  }
  add_to_digest(wanted);
  for (const int threads : kThreads) {
    std::fill(found.begin(), found.end(), Pixel{});
    fill_cpu(check_fill(slice.array(), slice.mask_array(), array_of("out", found, slice.shape(1))), threads);
    expect(same(wanted, found), "fill with %d threads: %dx%d pixels of %s", threads, slice.rows[0], slice.cols[0],
           type_of<Pixel>());
  }
}

template <class Pixel>
void try_all(int most_rows, int most_cols, bool small) {
  try_gather<Pixel, float>(Slice<Pixel>(most_rows, most_cols));
  try_gather<Pixel, Half>(Slice<Pixel>(most_rows, most_cols));
  try_assemble<Pixel, float>(Slice<Pixel>(most_rows, most_cols));
  try_assemble<Pixel, Half>(Slice<Pixel>(most_rows, most_cols));
  try_fill<Pixel>(Slice<Pixel>(most_rows, most_cols), small);
}

void try_every_type(int most_rows, int most_cols, bool small) {
  try_all<uint8_t>(most_rows, most_cols, small);
  try_all<int16_t>(most_rows, most_cols, small);
  try_all<uint16_t>(most_rows, most_cols, small);
  try_all<float>(most_rows, most_cols, small);
}

// Four parts that each wait for the other three end only when four threads run at once.
void try_threads() {
  std::mutex lock;
  std::condition_variable changed;
  std::set<std::thread::id> here;
  bool met = true;
  parallel(4, 4, [&](int) {
    std::unique_lock<std::mutex> held(lock);
    here.insert(std::this_thread::get_id());
    changed.notify_all();
    met = changed.wait_for(held, std::chrono::seconds(20), [&] { return here.size() == 4; }) && met;
  });
  expect(met, "parallel: %d of 4 threads ran at once", static_cast<int>(here.size()));

  std::vector<int> calls(1000);
  parallel(1000, 5, [&](int i) { ++calls[i]; });
  expect(calls == std::vector<int>(1000, 1), "parallel: some parts were not done once");

  std::string message;
  try {
    parallel(100, 3, [](int i) {
      if (i == 57) throw ArgumentError("part 57");
    });
  } catch (const ArgumentError& e) {
    message = e.what();
  }
  expect(message == "part 57", "parallel: a part's exception became '%s'", message.c_str());
  expect(thread_count(0) >= 1 && thread_count(3) == 3, "thread_count: 0 gives %d, 3 gives %d", thread_count(0),
         thread_count(3));
}

template <class F>
void expect_refused(const char* wanted, F&& call) {
  std::string message = "nothing";
  try {
    call();
  } catch (const ArgumentError& e) {
    message = e.what();
  }
  expect(message.rfind(wanted, 0) == 0, "refusal: wanted '%s', got '%s'", wanted, message.c_str());
}

void try_refusals() {
  Slice<uint16_t> slice(9, 9);
  std::vector<uint16_t> small(4);
  const auto out = array_of("out", small, {2, 2});
  expect_refused("no plan has size 9, tile 2", [] { check_grid({9, 2, 1, 0}, {9, 9, 0, 0}); });
  expect_refused("path is 'none'", [] { use_path("none"); });
  expect_refused("out has shape [2, 2]", [&] { check_fill(slice.array(), slice.mask_array(), out); });
  auto bad = slice.array();
  bad.type = "i8";
  expect_refused("slice has dtype i8", [&] { check_fill(bad, slice.mask_array(), out); });
}

}  // namespace
}  // namespace acutance

int main() {
  using namespace acutance;
  for (int trial = 0; trial < 25; ++trial) try_every_type(20, 60, true);
  try_every_type(250, 700, false);  // enough samples for several threads
  try_threads();
  try_refusals();
  std::string names;
  for (const std::string& path : paths()) names += (names.empty() ? "" : ", ") + path;
  std::printf("paths %s: %d of %d checks failed\ndigest %016llx\n", names.c_str(), wrong, trials,
              static_cast<unsigned long long>(digest));
  return wrong != 0;
}
