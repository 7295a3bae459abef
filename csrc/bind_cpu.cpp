// Python module acutance._core: the ops on the CPU.
#include "bind.h"
#include "cpu.h"

namespace acutance {
namespace {

// NumPy's type string of a buffer format, as it is when it is none the ops know.
std::string type_of(const Py_buffer& b) {
  std::string format = b.format ? b.format : "B";
  if (!format.empty() && (format[0] == '@' || format[0] == '=' || format[0] == '<')) format.erase(0, 1);
  static const std::pair<const char*, const char*> known[] = {{"?", "b1"}, {"B", "u1"}, {"h", "i2"},
                                                              {"H", "u2"}, {"e", "f2"}, {"f", "f4"}};
  for (const auto& [code, type] : known)
    if (format == code) return type;
  return "'" + format + "'";
}

// An array and the buffer that keeps it alive. Released by Python's count of references, so only with the GIL held.
struct Held {
  Py_buffer buffer{};
  Array array;

  Held(const py::object& o, const char* name) {
    if (PyObject_GetBuffer(o.ptr(), &buffer, PyBUF_STRIDES | PyBUF_FORMAT) != 0) {
      PyErr_Clear();
      throw ArgumentError(std::string(name) + " is a " + Py_TYPE(o.ptr())->tp_name +
                          "; wanted an array in host memory with the buffer protocol");
    }
    const auto n = static_cast<size_t>(buffer.ndim);
    array = Array{name,
                  buffer.buf,
                  type_of(buffer),
                  std::vector<int64_t>(buffer.shape, buffer.shape + n),
                  std::vector<int64_t>(buffer.strides, buffer.strides + n),
                  !buffer.readonly,
                  "cpu"};
  }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held() { PyBuffer_Release(&buffer); }
};

std::optional<Array> array_of(const std::optional<Held>& h) {
  return h ? std::optional<Array>(h->array) : std::nullopt;
}

void fill(const py::object& slice, const py::object& mask, const py::object& out, int threads) {
  const Held s(slice, "slice"), m(mask, "mask"), o(out, "out");
  const FillArgs a = check_fill(s.array, m.array, o.array);
  const py::gil_scoped_release free;
  fill_cpu(a, threads);
}

void gather(const py::object& slice, const std::vector<int>& rows, const std::vector<int>& cols, double gain,
            double bias, int unshuffle, const std::string& layout, int first, const py::object& out, int threads) {
  const Held s(slice, "slice"), o(out, "out");
  const GatherArgs a = check_gather(s.array, check_grid(rows, cols), gain, bias, unshuffle, layout, first, o.array);
  const py::gil_scoped_release free;
  gather_cpu(a, threads);
}

int64_t assemble(const py::object& residual, const py::object& slice, const std::vector<int>& rows,
                 const std::vector<int>& cols, int scale, double gain, const std::string& base, bool guard,
                 std::optional<double> low, std::optional<double> high, const py::object& mask, double padding,
                 const std::string& layout, int first, int row0, int row1, const py::object& out, int threads) {
  std::optional<Held> r, m;
  if (!residual.is_none()) r.emplace(residual, "residual");
  if (!mask.is_none()) m.emplace(mask, "mask");
  const Held s(slice, "slice"), o(out, "out");
  const AssembleOptions options{gain, base, guard, low, high, padding, layout, scale, first, row0, row1};
  const AssembleArgs a = check_assemble(array_of(r), s.array, check_grid(rows, cols), options, array_of(m), o.array);
  const py::gil_scoped_release free;
  return assemble_cpu(a, threads);
}

}  // namespace
}  // namespace acutance

PYBIND11_MODULE(_core, m) {
  using namespace acutance;
  using py::arg;
  translate_errors();
  m.doc() = "The ops on the CPU; acutance.ops documents them.";
  m.def("fill", &fill, arg("slice"), arg("mask"), arg("out"), arg("threads"));
  m.def("gather", &gather, arg("slice"), arg("rows"), arg("cols"), arg("gain"), arg("bias"), arg("unshuffle"),
        arg("layout"), arg("first"), arg("out"), arg("threads"));
  m.def("assemble", &assemble, arg("residual"), arg("slice"), arg("rows"), arg("cols"), arg("scale"), arg("gain"),
        arg("base"), arg("guard"), arg("low"), arg("high"), arg("mask"), arg("padding"), arg("layout"), arg("first"),
        arg("row0"), arg("row1"), arg("out"), arg("threads"));
  m.def("paths", &paths);
  m.def("use_path", &use_path, arg("name"));
}
