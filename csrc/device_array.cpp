#include "device_array.h"

#include "cuda.h"

// The memory layout that DLPack fixes for the capsule "dltensor" (dlpack.h, versions before 1.0 and since).
struct DLDevice {
  int32_t type, id;
};
struct DLDataType {
  uint8_t code, bits;
  uint16_t lanes;
};
struct DLTensor {
  void* data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  int64_t *shape, *strides;  // strides in samples, or null: C-contiguous
  uint64_t byte_offset;
};
struct DLManagedTensor {
  DLTensor tensor;
  void* context;
  void (*deleter)(DLManagedTensor*);
};

namespace acutance {
namespace {

constexpr uintptr_t kLegacyStream = 1;  // as both protocols number it

uintptr_t number_of(cudaStream_t stream) {
  const auto n = reinterpret_cast<uintptr_t>(stream);
  return n ? n : kLegacyStream;
}

[[noreturn]] void refuse(const std::string& name, const std::string& why) {
  throw ArgumentError(name + " " + why);
}

std::vector<int64_t> dense_strides(const std::vector<int64_t>& shape, int64_t unit) {
  std::vector<int64_t> strides(shape.size());
  for (size_t i = shape.size(); i-- > 0; unit *= shape[i]) strides[i] = unit;
  return strides;
}

// NumPy's type string of a DLPack type.
std::string type_of(const DLDataType& t) {
  static const char* const kinds[] = {"i", "u", "f", "?", "bf", "c", "b"};
  const std::string kind = t.code < 7 && t.lanes == 1 ? kinds[t.code] : "?";
  return kind + std::to_string(t.bits / 8);
}

}  // namespace

DeviceArray::DeviceArray(const py::object& o, const char* name, cudaStream_t stream) {
  array.name = name;
  try {
    if (py::hasattr(o, "__cuda_array_interface__"))
      read_interface(o);
    else if (py::hasattr(o, "__dlpack__"))
      read_dlpack(o, stream);
    else
      refuse(name, std::string("is a ") + Py_TYPE(o.ptr())->tp_name +
                       "; wanted an array on a CUDA device, with __cuda_array_interface__ or DLPack");
  } catch (const py::error_already_set& e) {
    refuse(name, "does not say where its memory is: " + e.type().attr("__name__").cast<std::string>() + ": " +
                     py::str(e.value()).cast<std::string>());
  } catch (const py::cast_error&) {
    refuse(name, "has a __cuda_array_interface__ that is not of version 3");
  }
  find_device();
}

DeviceArray::~DeviceArray() {
  if (tensor_ && tensor_->deleter) tensor_->deleter(tensor_);
}

void DeviceArray::read_interface(const py::object& o) {
  const py::dict d = o.attr("__cuda_array_interface__");
  const auto [data, read_only] = d["data"].cast<std::pair<uintptr_t, bool>>();
  array.data = reinterpret_cast<void*>(data);
  array.writable = !read_only;
  array.type = d["typestr"].cast<std::string>();
  if (array.type.size() < 3) refuse(array.name, "has the type string '" + array.type + "'");
  if (array.type[0] != '>') array.type.erase(0, 1);
  array.shape = d["shape"].cast<std::vector<int64_t>>();
  const py::object strides = d.attr("get")("strides"), producer = d.attr("get")("stream");
  array.strides =
      strides.is_none() ? dense_strides(array.shape, array.type.back() - '0') : strides.cast<std::vector<int64_t>>();
  if (!d.attr("get")("mask").is_none()) refuse(array.name, "is a masked array; wanted one without mask");
  if (!producer.is_none()) producer_ = producer.cast<uintptr_t>();
}

void DeviceArray::read_dlpack(const py::object& o, cudaStream_t stream) {
  const auto where = o.attr("__dlpack_device__")().cast<std::pair<int, int>>();
  if (where.first != 2 && where.first != 3 && where.first != 13)  // CUDA, its page-locked and its managed memory
    refuse(array.name, "lies in host memory; wanted an array on a CUDA device");
  py::capsule capsule = o.attr("__dlpack__")(py::arg("stream") = number_of(stream));
  tensor_ = capsule.get_pointer<DLManagedTensor>();
  capsule.set_name("used_dltensor");
  const DLTensor& t = tensor_->tensor;
  array.data = static_cast<char*>(t.data) + t.byte_offset;
  array.writable = true;
  array.type = type_of(t.dtype);
  array.shape.assign(t.shape, t.shape + t.ndim);
  array.strides = dense_strides(array.shape, 1);
  if (t.strides) array.strides.assign(t.strides, t.strides + t.ndim);
  for (int64_t& stride : array.strides) stride *= t.dtype.bits / 8;
}

void DeviceArray::find_device() {
  cudaPointerAttributes found{};
  check_cuda(cudaPointerGetAttributes(&found, array.data), "cudaPointerGetAttributes");
  if (found.type == cudaMemoryTypeUnregistered)
    refuse(array.name, "points at memory that no CUDA device can reach; wanted device memory");
  if (!found.devicePointer)
    refuse(array.name, "lies in page-locked memory that is not mapped; wanted mapped or device memory");
  array.data = found.devicePointer;  // also of mapped host memory, which an integrated GPU reads where it is
  device = found.device;
  array.device = "cuda:" + std::to_string(device);
}

void DeviceArray::wait(cudaStream_t stream) const {
  if (!producer_ || *producer_ == number_of(stream)) return;
  if (*producer_ == 0) refuse(array.name, "names stream 0; the protocol wants 1 for the legacy default stream");
  cudaEvent_t event;
  check_cuda(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
  const cudaError_t recorded = cudaEventRecord(event, reinterpret_cast<cudaStream_t>(*producer_));
  const cudaError_t waited = recorded == cudaSuccess ? cudaStreamWaitEvent(stream, event, 0) : cudaSuccess;
  cudaEventDestroy(event);
  check_cuda(recorded, "cudaEventRecord");
  check_cuda(waited, "cudaStreamWaitEvent");
}

}  // namespace acutance
