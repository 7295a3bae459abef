// A stand-in for NVIDIA's header: what csrc/ calls of the CUDA runtime, done on the host at once. With it the very
// sources of acutance._cuda compile as C++ and run without a GPU, so that launches, index arithmetic, captured graphs
// and bindings can be tested. Host memory counts as that of device 0.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <map>
#include <mutex>
#include <vector>

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorIllegalState = 401,
  cudaErrorLaunchFailure = 719,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureInvalidated = 901,
  cudaErrorStreamCaptureIsolation = 905
};
enum cudaMemoryType { cudaMemoryTypeUnregistered = 0, cudaMemoryTypeHost = 1, cudaMemoryTypeDevice = 2 };
enum cudaStreamCaptureMode { cudaStreamCaptureModeGlobal, cudaStreamCaptureModeThreadLocal };
enum cudaStreamCaptureStatus {
  cudaStreamCaptureStatusNone,
  cudaStreamCaptureStatusActive,
  cudaStreamCaptureStatusInvalidated
};
constexpr unsigned cudaEventDefault = 0, cudaEventBlockingSync = 1, cudaEventDisableTiming = 2;
constexpr unsigned cudaEventRecordDefault = 0, cudaEventRecordExternal = 1;

// A stream is but a number; an event holds when it came, in milliseconds, or less than 0.
struct Emulated {
  double came;
};
using cudaStream_t = Emulated*;
using cudaEvent_t = Emulated*;

// Work in the order in which it was enqueued.
using EmulatedWork = std::vector<std::function<cudaError_t()>>;
using cudaGraph_t = EmulatedWork*;
using cudaGraphExec_t = EmulatedWork*;

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

// For tests to see and to set: how often a stream was made to wait for another, how many graphs there are, and what
// memory is said to be: 0 of the device, 1 mapped page-locked host memory, 2 the same but not mapped.
extern "C" {
__attribute__((visibility("default"))) inline int emulated_waits = 0;
__attribute__((visibility("default"))) inline int emulated_graphs = 0;
__attribute__((visibility("default"))) inline int emulated_memory = 0;
}

struct EmulatedCapture {
  EmulatedWork work;
  bool broken;
};
inline std::map<cudaStream_t, EmulatedCapture> emulated_captures;
inline std::recursive_mutex emulated_device;  // does one thing at a time, whatever thread it comes from

// Does the work, or notes it down where the stream is captured.
inline cudaError_t emulated_enqueue(cudaStream_t stream, std::function<cudaError_t()> work) {
  const std::lock_guard<std::recursive_mutex> alone(emulated_device);
  const auto found = emulated_captures.find(stream);
  if (found == emulated_captures.end()) return work();
  if (found->second.broken) return cudaErrorStreamCaptureInvalidated;
  found->second.work.push_back(std::move(work));
  return cudaSuccess;
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
  *found = {cudaMemoryTypeUnregistered, 0, nullptr, p};
  if (p && emulated_memory == 0) *found = {cudaMemoryTypeDevice, 0, p, nullptr};
  if (p && emulated_memory != 0) *found = {cudaMemoryTypeHost, 0, emulated_memory == 1 ? p : nullptr, p};
  return cudaSuccess;
}
inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new Emulated{-1};
  return cudaSuccess;
}
inline cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) {
  return cudaSuccess;
}
inline cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags) {
  const bool captured = emulated_captures.count(stream) != 0;
  if (captured != (flags == cudaEventRecordExternal)) return cudaErrorInvalidValue;
  return emulated_enqueue(stream, [=] {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    event->came = std::chrono::duration<double, std::milli>(now).count();
    return cudaSuccess;
  });
}
inline cudaError_t cudaEventSynchronize(cudaEvent_t) {
  return cudaSuccess;
}
inline cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  if (from->came < 0 || to->came < 0) return cudaErrorInvalidResourceHandle;
  *milliseconds = static_cast<float>(to->came - from->came);
  return cudaSuccess;
}
// Only events of another stream are waited for, which a capture must not depend on.
inline cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t, unsigned) {
  const auto found = emulated_captures.find(stream);
  if (found != emulated_captures.end()) {
    found->second.broken = true;
    return cudaErrorStreamCaptureIsolation;
  }
  ++emulated_waits;
  return cudaSuccess;
}
inline cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

// For stand-ins of libraries whose work lies between that of csrc/: does it, or notes it down where the stream is
// captured; and makes a call that a captured stream does not allow, returning whether it was captured.
extern "C" {
__attribute__((visibility("default"), used)) inline cudaError_t emulated_host_work(cudaStream_t stream,
                                                                                   cudaError_t (*work)(void*),
                                                                                   void* argument) {
  return emulated_enqueue(stream, [=] { return work(argument); });
}
__attribute__((visibility("default"), used)) inline int emulated_captured(cudaStream_t stream) {
  return emulated_captures.count(stream) != 0;
}
__attribute__((visibility("default"), used)) inline int emulated_break(cudaStream_t stream) {
  const auto found = emulated_captures.find(stream);
  if (found == emulated_captures.end()) return 0;
  found->second.broken = true;
  return 1;
}
}

inline cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (reinterpret_cast<uintptr_t>(stream) <= 1) return cudaErrorStreamCaptureUnsupported;
  return emulated_captures.emplace(stream, EmulatedCapture{}).second ? cudaSuccess : cudaErrorIllegalState;
}
inline cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  const auto found = emulated_captures.find(stream);
  if (found == emulated_captures.end())
    *status = cudaStreamCaptureStatusNone;
  else
    *status = found->second.broken ? cudaStreamCaptureStatusInvalidated : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}
inline cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const auto found = emulated_captures.find(stream);
  if (found == emulated_captures.end()) return cudaErrorIllegalState;
  const EmulatedCapture capture = std::move(found->second);
  emulated_captures.erase(found);
  *graph = nullptr;
  if (capture.broken) return cudaErrorStreamCaptureInvalidated;
  *graph = new EmulatedWork(capture.work);
  ++emulated_graphs;
  return cudaSuccess;
}
inline cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* ready, cudaGraph_t graph, unsigned long long) {
  *ready = new EmulatedWork(*graph);
  ++emulated_graphs;
  return cudaSuccess;
}
inline cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  --emulated_graphs;
  return cudaSuccess;
}
inline cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
  return cudaGraphDestroy(graph);
}
inline cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) {
  return cudaSuccess;
}
inline cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
  for (const auto& work : *graph) {
    const cudaError_t status = emulated_enqueue(stream, work);
    if (status != cudaSuccess) return status;
  }
  return cudaSuccess;
}
