// Python module acutance._cuda: the ops on CUDA devices.
#include "cuda.h"
#include "device_array.h"
#include "event.h"
#include "graph.h"

namespace acutance {
namespace {

// 0 without a driver or a device; never an error.
int device_count() {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
  cudaGetLastError();
  return 0;
}

// Makes a device the current one as long as it lives.
class Current {
 public:
  explicit Current(int device) : device_(device) {
    check_cuda(cudaGetDevice(&before_), "cudaGetDevice");
    if (before_ != device_) check_cuda(cudaSetDevice(device_), "cudaSetDevice");
  }
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;
  ~Current() {
    if (before_ != device_) cudaSetDevice(before_);
  }

 private:
  int device_, before_ = 0;
};

void wait_all(cudaStream_t stream, std::initializer_list<const DeviceArray*> arrays) {
  for (const DeviceArray* each : arrays)
    if (each) each->wait(stream);
}

// C-contiguous memory of at least `count` samples of a type ("i4"), where the slice lies.
void* memory(const DeviceArray& a, const DeviceArray& slice, const std::string& type, int64_t count, bool writable) {
  const Array& m = a.array;
  const int64_t unit = type[1] - '0';
  int64_t held = 1;
  bool dense = true;
  for (size_t i = m.shape.size(); i-- > 0; held *= m.shape[i])
    dense = dense && (m.shape[i] == 1 || m.strides[i] == held * unit);
  if (m.type != type || !dense || held < count || (writable && !m.writable) || a.device != slice.device ||
      reinterpret_cast<uintptr_t>(m.data) % unit)
    throw ArgumentError(m.name + " has " + std::to_string(held) + " samples of " + m.type + " on " + m.device +
                        "; wanted " + std::to_string(count) + " of " + type + ", C-contiguous" +
                        (writable ? " and writable" : "") + ", on " + slice.array.device);
  return m.data;
}

// Null when no parameters are given.
const Params* params_of(const std::optional<DeviceArray>& p, const DeviceArray& slice) {
  constexpr int64_t kCount = sizeof(Params) / sizeof(float);
  return p ? static_cast<const Params*>(memory(*p, slice, "f4", kCount, false)) : nullptr;
}

// The flag's low half when it is of 64 bits: devices and their hosts are little-endian.
int32_t* flag_of(const DeviceArray& f, const DeviceArray& slice) {
  return static_cast<int32_t*>(memory(f, slice, f.array.type == "i8" ? "i8" : "i4", 1, true));
}

cudaStream_t stream_of(uintptr_t stream) {
  return reinterpret_cast<cudaStream_t>(stream);
}

std::optional<DeviceArray> given(const py::object& o, const char* name, cudaStream_t stream) {
  using Given = std::optional<DeviceArray>;
  return o.is_none() ? Given() : Given(std::in_place, o, name, stream);
}

void fill(const py::object& slice, const py::object& mask, const py::object& out, const py::object& scratch,
          uintptr_t number) {
  const cudaStream_t stream = stream_of(number);
  const DeviceArray s(slice, "slice", stream), m(mask, "mask", stream), o(out, "out", stream),
      w(scratch, "scratch", stream);
  FillArgs a = check_fill(s.array, m.array, o.array);
  a.nearest = static_cast<int32_t*>(memory(w, s, "i4", static_cast<int64_t>(a.picture.rows) * a.picture.cols, true));
  const Current current(s.device);
  wait_all(stream, {&s, &m, &o, &w});
  const py::gil_scoped_release free;
  fill_cuda(a, stream);
}

void gather(const py::object& slice, const std::vector<int>& rows, const std::vector<int>& cols, double gain,
            double bias, int unshuffle, const std::string& layout, int first, const py::object& out,
            const py::object& params, uintptr_t number) {
  const cudaStream_t stream = stream_of(number);
  const DeviceArray s(slice, "slice", stream), o(out, "out", stream);
  const auto p = given(params, "params", stream);
  GatherArgs a = check_gather(s.array, check_grid(rows, cols), gain, bias, unshuffle, layout, first, o.array);
  a.params = params_of(p, s);
  const Current current(s.device);
  wait_all(stream, {&s, &o, p ? &*p : nullptr});
  const py::gil_scoped_release free;
  gather_cuda(a, stream);
}

void assemble(const py::object& residual, const py::object& slice, const std::vector<int>& rows,
              const std::vector<int>& cols, int scale, double gain, const std::string& base, bool guard,
              std::optional<double> low, std::optional<double> high, const py::object& mask, double padding,
              const std::string& layout, int first, int row0, int row1, const py::object& out,
              const py::object& nonfinite, const py::object& params, uintptr_t number) {
  const cudaStream_t stream = stream_of(number);
  const auto r = given(residual, "residual", stream), m = given(mask, "mask", stream),
             p = given(params, "params", stream);
  const DeviceArray s(slice, "slice", stream), o(out, "out", stream), f(nonfinite, "nonfinite", stream);
  const AssembleOptions options{gain, base, guard, low, high, padding, layout, scale, first, row0, row1};
  AssembleArgs a = check_assemble(r ? std::optional<Array>(r->array) : std::nullopt, s.array, check_grid(rows, cols),
                                  options, m ? std::optional<Array>(m->array) : std::nullopt, o.array);
  a.params = params_of(p, s);
  int32_t* const flag = flag_of(f, s);
  const Current current(s.device);
  wait_all(stream, {r ? &*r : nullptr, m ? &*m : nullptr, p ? &*p : nullptr, &s, &o, &f});
  const py::gil_scoped_release free;
  assemble_cuda(a, flag, stream);
}

constexpr char kGraphText[] =
    R"(Work on a stream, captured once and launched again and again.

``begin(stream)`` starts to capture, in thread-local mode, what this thread enqueues on a stream that is not the legacy
default one; arrays must name no stream of their own. ``end(stream)`` makes it ready to launch, in place of what was
captured before. ``abort(stream)`` gives up a capture, broken or not, and does nothing where there is none.
``launch(stream)`` enqueues all of it. The device of the streams must be the current one. What the graph reads and
writes must live as long as it is launched, and the graph itself until its launches have ended. The graph is destroyed
with the object. A CUDA call that fails raises BackendError with its name; after a failed ``end`` nothing is
captured, and what was captured before stays.)";

void translate_cuda_errors() {
  py::register_exception_translator([](std::exception_ptr p) {
    try {
      if (p) std::rethrow_exception(p);
    } catch (const CudaError& e) {
      PyErr_SetString(py::module_::import("acutance.errors").attr("BackendError").ptr(), e.what());
    }
  });
}

constexpr char kEventText[] =
    R"(A moment in a stream.

``record(stream)`` sets it; inside a capture it is set again at each launch of the graph, for its time only.
``wait()`` waits until it came, spinning, or asleep with ``blocking``. ``elapsed_ms(since)`` gives the milliseconds from
another event to this one; both must have come. A CUDA call that fails raises BackendError with its name.)";

}  // namespace
}  // namespace acutance

PYBIND11_MODULE(_cuda, m) {
  using namespace acutance;
  using py::arg;
  translate_errors();
  translate_cuda_errors();
  m.doc() = "The ops on CUDA devices; acutance.ops documents them.";
  m.def("device_count", &device_count);
  m.def("fill", &fill, arg("slice"), arg("mask"), arg("out"), arg("scratch"), arg("stream"));
  m.def("gather", &gather, arg("slice"), arg("rows"), arg("cols"), arg("gain"), arg("bias"), arg("unshuffle"),
        arg("layout"), arg("first"), arg("out"), arg("params"), arg("stream"));
  m.def("assemble", &assemble, arg("residual"), arg("slice"), arg("rows"), arg("cols"), arg("scale"), arg("gain"),
        arg("base"), arg("guard"), arg("low"), arg("high"), arg("mask"), arg("padding"), arg("layout"), arg("first"),
        arg("row0"), arg("row1"), arg("out"), arg("nonfinite"), arg("params"), arg("stream"));
  using free = py::call_guard<py::gil_scoped_release>;
  py::class_<Graph>(m, "Graph", py::module_local(), kGraphText)
      .def(py::init<>())
      .def(
          "begin", [](Graph& g, uintptr_t stream) { g.begin(stream_of(stream)); }, arg("stream"), free())
      .def(
          "end", [](Graph& g, uintptr_t stream) { g.end(stream_of(stream)); }, arg("stream"), free())
      .def(
          "launch", [](const Graph& g, uintptr_t stream) { g.launch(stream_of(stream)); }, arg("stream"), free())
      .def("abort", [](Graph& g, uintptr_t stream) { g.abort(stream_of(stream)); }, arg("stream"), free());
  py::class_<Event>(m, "Event", py::module_local(), kEventText)
      .def(py::init<bool>(), arg("blocking") = false)
      .def(
          "record", [](Event& e, uintptr_t stream) { e.record(stream_of(stream)); }, arg("stream"), free())
      .def("wait", &Event::wait, free())
      .def("elapsed_ms", &Event::elapsed_ms, arg("since"));
}
