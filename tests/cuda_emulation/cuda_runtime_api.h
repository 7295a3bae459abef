// A stand-in for NVIDIA's header: what csrc/ calls of the CUDA runtime, done on the host at once, one thread after the
// other. With it the very sources of acutance._cuda compile as C++ and run without a GPU, so that launches, index
// arithmetic and bindings can be tested. Host memory counts as that of device 0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorNoDevice = 100
};
enum cudaMemoryType { cudaMemoryTypeUnregistered = 0, cudaMemoryTypeDevice = 2 };
constexpr unsigned cudaEventDisableTiming = 2;

struct Emulated;
using cudaStream_t = Emulated*;
using cudaEvent_t = Emulated*;

struct cudaPointerAttributes {
  cudaMemoryType type;
  int device;
  void *devicePointer, *hostPointer;
};

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
};

// How often a stream was made to wait for another, for tests to see.
extern "C" {
__attribute__((visibility("default"))) inline int emulated_waits = 0;
}

inline cudaError_t cudaGetLastError() {
  return cudaSuccess;
}
inline const char* cudaGetErrorString(cudaError_t e) {
  return e == cudaErrorInvalidConfiguration ? "invalid configuration argument" : "an emulated failure";
}
// ACUTANCE_EMULATED_DEVICES in the environment says how many devices there are; one when it is not set.
inline cudaError_t cudaGetDeviceCount(int* count) {
  const char* said = std::getenv("ACUTANCE_EMULATED_DEVICES");
  *count = said ? std::atoi(said) : 1;
  return *count ? cudaSuccess : cudaErrorNoDevice;
}
inline cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
inline cudaError_t cudaSetDevice(int) {
  return cudaErrorInvalidValue;
}
inline cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* found, void* p) {
  *found = {p ? cudaMemoryTypeDevice : cudaMemoryTypeUnregistered, 0, p, nullptr};
  return cudaSuccess;
}
inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = nullptr;
  return cudaSuccess;
}
inline cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) {
  return cudaSuccess;
}
inline cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) {
  ++emulated_waits;
  return cudaSuccess;
}
inline cudaError_t cudaEventDestroy(cudaEvent_t) {
  return cudaSuccess;
}
