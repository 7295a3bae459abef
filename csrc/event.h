// A CUDA event: a moment in a stream that can be waited for and timed.
#pragma once

#include <cuda_runtime_api.h>

namespace acutance {

// Made on the current device. Errors are CudaError.
class Event {
 public:
  explicit Event(bool blocking);  // whether a thread that waits sleeps instead of spinning
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event();

  void record(cudaStream_t stream);  // inside a capture: again at each launch of the graph
  void wait() const;                 // until the last record that was enqueued, not one in a graph
  float elapsed_ms(const Event& since) const;

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace acutance
