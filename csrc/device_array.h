// Arrays in device memory as Python hands them over.
#pragma once

#include <cuda_runtime_api.h>

#include "bind.h"

struct DLManagedTensor;

namespace acutance {

// An array that speaks __cuda_array_interface__ (version 3) or DLPack, in device memory, managed memory or page-locked
// host memory that is mapped. It is not copied; what a library still has to
// do to it on a stream of its own is waited for by wait(), on the device and not on the host. Only with the GIL held.
class DeviceArray {
 public:
  DeviceArray(const py::object& o, const char* name, cudaStream_t stream);
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray();

  // Makes `stream` wait for the stream that the array names as its producer's, if it names one.
  void wait(cudaStream_t stream) const;

  Array array;
  int device = 0;

 private:
  void read_interface(const py::object& o);
  void read_dlpack(const py::object& o, cudaStream_t stream);
  void find_device();

  DLManagedTensor* tensor_ = nullptr;
  std::optional<uintptr_t> producer_;
};

}  // namespace acutance
