#include "args.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>

namespace acutance {
namespace {

template <class... Parts>
[[noreturn]] void refuse(const Parts&... parts) {
  std::ostringstream message;
  (message << ... << parts);
  throw ArgumentError(message.str());
}

std::string text_of(const std::vector<int64_t>& shape) {
  std::ostringstream text;
  text << "[";
  for (size_t i = 0; i < shape.size(); ++i) text << (i ? ", " : "") << shape[i];
  text << "]";
  return text.str();
}

Type pixel_type(const Array& a) {
  if (a.type == "u1") return Type::u8;
  if (a.type == "i2") return Type::i16;
  if (a.type == "u2") return Type::u16;
  if (a.type == "f4") return Type::f32;
  refuse(a.name, " has dtype ", a.type, "; wanted u1, i2, u2 or f4 in this machine's byte order");
}

Type tile_type(const Array& a) {
  if (a.type == "f4") return Type::f32;
  if (a.type == "f2") return Type::f16;
  refuse(a.name, " has dtype ", a.type, "; wanted f4 or f2 in this machine's byte order");
}

int64_t bytes_of(const Array& a) {
  return a.type[1] - '0';
}

void check_common(const Array& a, const std::string& device, bool writable) {
  if (a.device != device) refuse(a.name, " lies on ", a.device, "; wanted ", device, ", where the slice lies");
  if (writable && !a.writable) refuse(a.name, " is read-only; wanted an array that can be written");
  const auto unit = static_cast<uintptr_t>(bytes_of(a));
  bool aligned = reinterpret_cast<uintptr_t>(a.data) % unit == 0;
  for (const int64_t stride : a.strides) aligned = aligned && stride % static_cast<int64_t>(unit) == 0;
  if (!aligned) refuse(a.name, " is not aligned to its ", unit, "-byte samples; copy it");
  for (const int64_t side : a.shape)
    if (side < 1 || side > std::numeric_limits<int32_t>::max() / 8)
      refuse(a.name, " has shape ", text_of(a.shape), "; wanted no side empty or above 2^28");
}

// [rows, cols] or [rows, cols, 3] with any distance from row to row, and dense within a row.
Picture check_picture(const Array& a, const std::string& device, bool writable) {
  const Type type = pixel_type(a);
  const size_t axes = a.shape.size();
  if ((axes != 2 && axes != 3) || (axes == 3 && a.shape[2] != 3))
    refuse(a.name, " has shape ", text_of(a.shape), "; wanted [rows, cols] or [rows, cols, 3]");
  check_common(a, device, writable);
  const int colours = axes == 3 ? 3 : 1;
  const int64_t unit = bytes_of(a);
  if ((colours == 3 && a.strides[2] != unit) || (a.shape[1] > 1 && a.strides[1] != colours * unit))
    refuse(a.name, " has strides ", text_of(a.strides), " bytes; wanted ", colours * unit,
           " from pixel to pixel within a row; copy it with numpy.ascontiguousarray");
  return Picture{a.data, a.strides[0], static_cast<int>(a.shape[0]), static_cast<int>(a.shape[1]), colours, type};
}

const uint8_t* check_mask(const Array& a, const Picture& picture, const std::string& device) {
  if (a.type != "u1" && a.type != "b1") refuse(a.name, " has dtype ", a.type, "; wanted bool or u1");
  if (a.shape != std::vector<int64_t>{picture.rows, picture.cols})
    refuse(a.name, " has shape ", text_of(a.shape), "; wanted [", picture.rows, ", ", picture.cols, "]");
  check_common(a, device, false);
  if (a.shape[1] > 1 && a.strides[1] != 1)
    refuse(a.name, " has strides ", text_of(a.strides), " bytes; wanted 1 from pixel to pixel within a row");
  return static_cast<const uint8_t*>(a.data);
}

void check_same_kind(const Array& slice, const Array& out, const std::vector<int64_t>& wanted) {
  if (out.type != slice.type) refuse(out.name, " has dtype ", out.type, "; wanted ", slice.type, " as the slice");
  if (out.shape != wanted) refuse(out.name, " has shape ", text_of(out.shape), "; wanted ", text_of(wanted));
}

bool check_layout(const std::string& layout) {
  if (layout != "nchw" && layout != "nhwc") refuse("layout is '", layout, "'; wanted nchw or nhwc");
  return layout == "nhwc";
}

// [T, C, h, w] or [T, h, w, C], dense.
Tiles check_tiles(const Array& a, const Grid& g, bool nhwc, int channels, int first, const std::string& device,
                  bool writable) {
  const Type type = tile_type(a);
  const int64_t h = g.rows.tile, w = g.cols.tile;
  const bool right = a.shape.size() == 4 && a.shape[nhwc ? 1 : 2] == h && a.shape[nhwc ? 2 : 3] == w &&
                     (nhwc ? a.shape[3] >= channels : a.shape[1] == channels);
  if (!right) {
    std::ostringstream wanted;
    if (nhwc)
      wanted << "[T, " << h << ", " << w << ", at least " << channels << "]";
    else
      wanted << "[T, " << channels << ", " << h << ", " << w << "]";
    refuse(a.name, " has shape ", text_of(a.shape), "; wanted ", wanted.str());
  }
  check_common(a, device, writable);
  int64_t dense = bytes_of(a);
  for (int i = 3; i >= 0; --i) {
    if (a.shape[i] > 1 && a.strides[i] != dense)
      refuse(a.name, " has strides ", text_of(a.strides), " bytes; wanted a C-contiguous array");
    dense *= a.shape[i];
  }
  const int64_t c = a.shape[nhwc ? 3 : 1], count = axis_count(g.rows) * static_cast<int64_t>(axis_count(g.cols));
  if (first < 0 || first + a.shape[0] > count)
    refuse(a.name, " holds tiles ", first, " to ", first + a.shape[0] - 1, "; the plan has ", count);
  if (a.shape[0] * h > std::numeric_limits<int32_t>::max())
    refuse(a.name, " holds ", a.shape[0], " tiles of ", h, " rows; wanted fewer than 2^31 rows at once");
  Tiles t{a.data, c * h * w, h * w, w, 1, first, static_cast<int>(a.shape[0]), static_cast<int>(c), type};
  if (nhwc) t.channel = 1, t.row = w * c, t.col = c;
  return t;
}

void check_size(const Picture& p, const Grid& g, int unshuffle) {
  const int64_t rows = static_cast<int64_t>(g.rows.size) * unshuffle,
                cols = static_cast<int64_t>(g.cols.size) * unshuffle;
  if (p.rows != rows || p.cols != cols)
    refuse("slice has ", p.rows, "x", p.cols, " pixels; the plan wants ", rows, "x", cols);
}

void check_finite(const char* name, double value) {
  if (!std::isfinite(value)) refuse(name, " is ", value, "; wanted a finite number");
}

struct Range {
  double low, high;
};

Range range_of(Type t) {
  switch (t) {
    case Type::u8:
      return {0, 255};
    case Type::i16:
      return {-32768, 32767};
    case Type::u16:
      return {0, 65535};
    default:
      return {-std::numeric_limits<double>::infinity(), std::numeric_limits<double>::infinity()};
  }
}

// The smallest interval of float32 inside [low, high].
Range inside(double low, double high) {
  auto a = static_cast<float>(low), b = static_cast<float>(high);
  if (a < low) a = std::nextafter(a, std::numeric_limits<float>::infinity());
  if (b > high) b = std::nextafter(b, -std::numeric_limits<float>::infinity());
  return {a, b};
}

Range check_limits(const AssembleOptions& o, Type type) {
  const Range all = range_of(type);
  double low = o.low.value_or(all.low), high = o.high.value_or(all.high);
  if (std::isnan(low) || std::isnan(high)) refuse("low is ", low, " and high is ", high, "; wanted numbers");
  if (type == Type::f32) {
    const Range r = inside(low, high);
    low = r.low, high = r.high;
  } else {
    low = std::fmax(std::ceil(low), all.low), high = std::fmin(std::floor(high), all.high);
  }
  if (!(low <= high)) refuse("no stored value lies from low ", low, " to high ", high);
  return {low, high};
}

float check_padding(double padding, Type type) {
  const Range all = range_of(type);
  if (type != Type::f32 && !(padding >= all.low && padding <= all.high && padding == std::floor(padding)))
    refuse("padding is ", padding, "; wanted a whole number from ", all.low, " to ", all.high);
  return static_cast<float>(padding);
}

// The tiles that input rows row0 .. row1-1 read must be among those given.
void check_needed(const Tiles& t, const Grid& g, int row0, int row1) {
  const Place p = place_of(g.rows, row0, 1);
  const int64_t across = axis_count(g.cols);
  const int64_t from = (p.tile - (p.before >= 0 ? 1 : 0)) * across, to = (axis_tile(g.rows, row1 - 1) + 1) * across;
  if (from < t.first || to > t.first + t.count)
    refuse("rows ", row0, " to ", row1 - 1, " need tiles ", from, " to ", to - 1, "; residual holds tiles ", t.first,
           " to ", t.first + t.count - 1);
}

}  // namespace

Grid check_grid(const std::vector<int>& rows, const std::vector<int>& cols) {
  for (const auto* v : {&rows, &cols}) {
    if (v->size() != 4) refuse("an axis has ", v->size(), " numbers; wanted size, tile, halo and overlap");
    const int size = (*v)[0], tile = (*v)[1], halo = (*v)[2], overlap = (*v)[3];
    const int64_t least = 2 * static_cast<int64_t>(halo) + std::max<int64_t>(2 * static_cast<int64_t>(overlap), 1);
    if (size < 1 || size > (1 << 28) || tile > (1 << 28) || halo < 0 || overlap < 0 || tile < least)
      refuse("no plan has size ", size, ", tile ", tile, ", halo ", halo, " and overlap ", overlap);
  }
  return Grid{{rows[0], rows[1], rows[2], rows[3]}, {cols[0], cols[1], cols[2], cols[3]}};
}

FillArgs check_fill(const Array& slice, const Array& mask, const Array& out) {
  FillArgs a{};
  a.picture = check_picture(slice, slice.device, false);
  a.mask = check_mask(mask, a.picture, slice.device);
  a.mask_pitch = mask.strides[0];
  check_same_kind(slice, out, slice.shape);
  a.out = check_picture(out, slice.device, true);
  return a;
}

GatherArgs check_gather(const Array& slice, const Grid& grid, double gain, double bias, int unshuffle,
                        const std::string& layout, int first, const Array& tiles) {
  GatherArgs a{};
  a.picture = check_picture(slice, slice.device, false);
  if (unshuffle < 1 || unshuffle > 16) refuse("unshuffle is ", unshuffle, "; wanted 1 to 16");
  check_size(a.picture, grid, unshuffle);
  check_finite("gain", gain);
  check_finite("bias", bias);
  a.tiles = check_tiles(tiles, grid, check_layout(layout), unshuffle * unshuffle, first, slice.device, true);
  a.rows = grid.rows, a.cols = grid.cols, a.unshuffle = unshuffle;
  a.mapping = {static_cast<float>(gain), static_cast<float>(bias)};
  return a;
}

AssembleArgs check_assemble(const std::optional<Array>& residual, const Array& slice, const Grid& grid,
                            const AssembleOptions& o, const std::optional<Array>& mask, const Array& out) {
  AssembleArgs a{};
  a.picture = check_picture(slice, slice.device, false);
  check_size(a.picture, grid, 1);
  if (o.scale < 1 || o.scale > kMaxScale) refuse("scale is ", o.scale, "; wanted 1 to ", kMaxScale);
  if (o.row0 < 0 || o.row1 > a.picture.rows || o.row0 >= o.row1)
    refuse("rows are ", o.row0, " to ", o.row1, "; wanted a range within 0 to ", a.picture.rows);
  if (o.base != "cubic" && o.base != "lanczos4") refuse("base is '", o.base, "'; wanted cubic or lanczos4");
  check_finite("gain", o.gain);
  auto wanted = slice.shape;
  wanted[0] *= o.scale, wanted[1] *= o.scale;
  check_same_kind(slice, out, wanted);
  a.out = check_picture(out, slice.device, true);
  const bool nhwc = check_layout(o.layout);
  if (residual) {
    const Tiles t = check_tiles(*residual, grid, nhwc, o.scale * o.scale, o.first, slice.device, false);
    check_needed(t, grid, o.row0, o.row1);
    if (o.gain != 0) a.residual = t;
  }
  if (mask) {
    a.mask = check_mask(*mask, a.picture, slice.device);
    a.mask_pitch = mask->strides[0];
  }
  const Range limits = check_limits(o, a.picture.type);
  a.levels.low = static_cast<float>(limits.low), a.levels.high = static_cast<float>(limits.high);
  a.levels.padding = check_padding(o.padding, mask ? a.picture.type : Type::f32);
  a.rows = grid.rows, a.cols = grid.cols, a.row0 = o.row0, a.row1 = o.row1;
  a.base = base_table(o.base == "cubic" ? Filter::cubic : Filter::lanczos4, o.scale);
  a.levels.per_unit = o.gain == 0 ? 0.0f : 1.0f / static_cast<float>(o.gain);  // as from params
  a.guard = o.guard;
  return a;
}

}  // namespace acutance
