// Python module acutance._cuda: the ops on CUDA devices.
#include "cuda.h"
#include "device_array.h"

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

// C-contiguous memory of at least `count` samples of one type, where the slice lies.
template <class T>
T* work_memory(const DeviceArray& a, const DeviceArray& slice, const char* type, int64_t count) {
  const Array& m = a.array;
  int64_t held = 1;
  bool dense = true;
  for (size_t i = m.shape.size(); i-- > 0; held *= m.shape[i])
    dense = dense && (m.shape[i] == 1 || m.strides[i] == held * static_cast<int64_t>(sizeof(T)));
  if (m.type != type || !dense || held < count || !m.writable || a.device != slice.device ||
      reinterpret_cast<uintptr_t>(m.data) % sizeof(T))
    throw ArgumentError(m.name + " has " + std::to_string(held) + " samples of " + m.type + " on " + m.device +
                        "; wanted " + std::to_string(count) + " of " + type + ", C-contiguous and writable, on " +
                        slice.array.device);
  return static_cast<T*>(m.data);
}

cudaStream_t stream_of(uintptr_t stream) {
  return reinterpret_cast<cudaStream_t>(stream);
}

void fill(const py::object& slice, const py::object& mask, const py::object& out, const py::object& scratch,
          uintptr_t number) {
  const cudaStream_t stream = stream_of(number);
  const DeviceArray s(slice, "slice", stream), m(mask, "mask", stream), o(out, "out", stream),
      w(scratch, "scratch", stream);
  FillArgs a = check_fill(s.array, m.array, o.array);
  a.nearest = work_memory<int32_t>(w, s, "i4", static_cast<int64_t>(a.picture.rows) * a.picture.cols);
  const Current current(s.device);
  wait_all(stream, {&s, &m, &o, &w});
  const py::gil_scoped_release free;
  fill_cuda(a, stream);
}

void gather(const py::object& slice, const std::vector<int>& rows, const std::vector<int>& cols, double gain,
            double bias, int unshuffle, const std::string& layout, int first, const py::object& out, uintptr_t number) {
  const cudaStream_t stream = stream_of(number);
  const DeviceArray s(slice, "slice", stream), o(out, "out", stream);
  const GatherArgs a = check_gather(s.array, check_grid(rows, cols), gain, bias, unshuffle, layout, first, o.array);
  const Current current(s.device);
  wait_all(stream, {&s, &o});
  const py::gil_scoped_release free;
  gather_cuda(a, stream);
}

void assemble(const py::object& residual, const py::object& slice, const std::vector<int>& rows,
              const std::vector<int>& cols, int scale, double gain, const std::string& base, bool guard,
              std::optional<double> low, std::optional<double> high, const py::object& mask, double padding,
              const std::string& layout, int first, int row0, int row1, const py::object& out,
              const py::object& nonfinite, uintptr_t number) {
  const cudaStream_t stream = stream_of(number);
  std::optional<DeviceArray> r, m;
  if (!residual.is_none()) r.emplace(residual, "residual", stream);
  if (!mask.is_none()) m.emplace(mask, "mask", stream);
  const DeviceArray s(slice, "slice", stream), o(out, "out", stream), f(nonfinite, "nonfinite", stream);
  const AssembleOptions options{gain, base, guard, low, high, padding, layout, scale, first, row0, row1};
  const AssembleArgs a =
      check_assemble(r ? std::optional<Array>(r->array) : std::nullopt, s.array, check_grid(rows, cols), options,
                     m ? std::optional<Array>(m->array) : std::nullopt, o.array);
  auto* flag = work_memory<unsigned long long>(f, s, "i8", 1);
  const Current current(s.device);
  wait_all(stream, {r ? &*r : nullptr, m ? &*m : nullptr, &s, &o, &f});
  const py::gil_scoped_release free;
  assemble_cuda(a, flag, stream);
}

void translate_cuda_errors() {
  py::register_exception_translator([](std::exception_ptr p) {
    try {
      if (p) std::rethrow_exception(p);
    } catch (const CudaError& e) {
      PyErr_SetString(py::module_::import("acutance.errors").attr("BackendError").ptr(), e.what());
    }
  });
}

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
        arg("layout"), arg("first"), arg("out"), arg("stream"));
  m.def("assemble", &assemble, arg("residual"), arg("slice"), arg("rows"), arg("cols"), arg("scale"), arg("gain"),
        arg("base"), arg("guard"), arg("low"), arg("high"), arg("mask"), arg("padding"), arg("layout"), arg("first"),
        arg("row0"), arg("row1"), arg("out"), arg("nonfinite"), arg("stream"));
}
