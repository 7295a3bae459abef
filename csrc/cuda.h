// The ops on a CUDA device. Each call enqueues its kernels on `stream`, waits for nothing and allocates nothing, so
// that it can be captured into a CUDA graph. The device must be the current one.
#pragma once

#include <cuda_runtime_api.h>

#include "args.h"

namespace acutance {

// Becomes acutance.errors.BackendError in Python.
struct CudaError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Throws a CudaError that names the call.
void check_cuda(cudaError_t status, const char* call);

// a.nearest must be there.
void fill_cuda(const FillArgs& a, cudaStream_t stream);
void gather_cuda(const GatherArgs& a, cudaStream_t stream);
// Sets *nonfinite, in device memory, to 1 when a sample was not finite, and leaves it as it is otherwise.
void assemble_cuda(const AssembleArgs& a, int32_t* nonfinite, cudaStream_t stream);

}  // namespace acutance
