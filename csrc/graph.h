// A CUDA graph: what was captured from a stream, launched as one.
#pragma once

#include <cuda_runtime_api.h>

namespace acutance {

// The streams' device must be the current one. Errors are CudaError, but for a launch of nothing: ArgumentError.
class Graph {
 public:
  Graph() = default;
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  ~Graph();

  void begin(cudaStream_t stream);         // from now on work on the stream is captured and not done
  void end(cudaStream_t stream);           // the capture takes the place of an earlier one
  void abort(cudaStream_t stream);         // forgets the capture, broken or not; nothing where there is none
  void launch(cudaStream_t stream) const;  // enqueues all that was captured

 private:
  cudaGraphExec_t ready_ = nullptr;
};

}  // namespace acutance
