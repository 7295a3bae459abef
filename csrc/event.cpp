#include "event.h"

#include "cuda.h"

namespace acutance {

Event::Event(bool blocking) {
  check_cuda(cudaEventCreateWithFlags(&event_, blocking ? cudaEventBlockingSync : cudaEventDefault),
             "cudaEventCreateWithFlags");
}

Event::~Event() {
  cudaEventDestroy(event_);
}

void Event::record(cudaStream_t stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check_cuda(cudaStreamIsCapturing(stream, &status), "cudaStreamIsCapturing");
  // Without the flag a capture takes the event for a dependency, and no time is ever recorded.
  const bool captured = status != cudaStreamCaptureStatusNone;
  check_cuda(cudaEventRecordWithFlags(event_, stream, captured ? cudaEventRecordExternal : cudaEventRecordDefault),
             "cudaEventRecordWithFlags");
}

void Event::wait() const {
  check_cuda(cudaEventSynchronize(event_), "cudaEventSynchronize");
}

float Event::elapsed_ms(const Event& since) const {
  float milliseconds = 0;
  check_cuda(cudaEventElapsedTime(&milliseconds, since.event_, event_), "cudaEventElapsedTime");
  return milliseconds;
}

}  // namespace acutance
