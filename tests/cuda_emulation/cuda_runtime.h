// A stand-in for NVIDIA's header; see cuda_runtime_api.h. Grids have the limits of a device.
#pragma once

#include "cuda_runtime_api.h"

#define __global__
#define __grid_constant__
#define __launch_bounds__(...)

inline dim3 blockIdx, threadIdx, gridDim, blockDim;

template <class T>
T atomicAdd(T* at, T value) {
  const T before = *at;
  *at += value;
  return before;
}

template <class... Wanted, class... Given>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* c, void (*kernel)(Wanted...), Given&&... arguments) {
  const dim3 grid = c->gridDim, block = c->blockDim;
  if (!grid.x || !grid.y || !grid.z || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535 ||
      block.x * block.y * block.z > 1024)
    return cudaErrorInvalidConfiguration;
  gridDim = grid, blockDim = block;
  for (blockIdx.z = 0; blockIdx.z < grid.z; ++blockIdx.z)
    for (blockIdx.y = 0; blockIdx.y < grid.y; ++blockIdx.y)
      for (blockIdx.x = 0; blockIdx.x < grid.x; ++blockIdx.x)
        for (threadIdx.y = 0; threadIdx.y < block.y; ++threadIdx.y)
          for (threadIdx.x = 0; threadIdx.x < block.x; ++threadIdx.x) kernel(arguments...);
  return cudaSuccess;
}
