#include "graph.h"

#include <utility>

#include "cuda.h"

namespace acutance {

Graph::~Graph() {
  if (ready_) cudaGraphExecDestroy(ready_);
}

void Graph::begin(cudaStream_t stream) {
  // Thread-local: what other threads do meanwhile, as a second stream's copies or another library's allocations, does
  // not break the capture.
  check_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
}

void Graph::end(cudaStream_t stream) {
  cudaGraph_t captured = nullptr;
  check_cuda(cudaStreamEndCapture(stream, &captured), "cudaStreamEndCapture");
  cudaGraphExec_t made = nullptr;
  const cudaError_t status = cudaGraphInstantiateWithFlags(&made, captured, 0);
  cudaGraphDestroy(captured);
  check_cuda(status, "cudaGraphInstantiateWithFlags");
  std::swap(ready_, made);
  if (made) check_cuda(cudaGraphExecDestroy(made), "cudaGraphExecDestroy");
  check_cuda(cudaGraphUpload(ready_, stream), "cudaGraphUpload");  // else the first launch does it
}

void Graph::abort(cudaStream_t stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check_cuda(cudaStreamIsCapturing(stream, &status), "cudaStreamIsCapturing");
  if (status == cudaStreamCaptureStatusNone) return;
  cudaGraph_t captured = nullptr;
  const cudaError_t ended = cudaStreamEndCapture(stream, &captured);
  if (captured) cudaGraphDestroy(captured);
  if (ended == cudaSuccess) return;
  cudaGetLastError();
  check_cuda(cudaStreamIsCapturing(stream, &status), "cudaStreamIsCapturing");
  if (status != cudaStreamCaptureStatusNone) check_cuda(ended, "cudaStreamEndCapture");
}

void Graph::launch(cudaStream_t stream) const {
  if (!ready_) throw ArgumentError("the graph is empty; wanted one that was captured with begin and end");
  check_cuda(cudaGraphLaunch(ready_, stream), "cudaGraphLaunch");
}

}  // namespace acutance
