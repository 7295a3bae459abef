// The ops on a CUDA device: grids of the functors.
#include <cuda_runtime.h>

#include <algorithm>

#include "cuda.h"
#include "dispatch.h"

namespace acutance {
namespace {

constexpr int kBlockCols = 32, kBlockRows = 4, kBlock = kBlockCols * kBlockRows;
constexpr int64_t kMostRows = 65535;  // blocks of a grid along y and along z

// Threads of the grid cover columns along x; along y and z they step on where the grid ends.
dim3 grid_of(int64_t cols, int64_t rows, int64_t planes = 1) {
  return dim3(static_cast<unsigned>((cols + kBlockCols - 1) / kBlockCols),
              static_cast<unsigned>(std::min((rows + kBlockRows - 1) / kBlockRows, kMostRows)),
              static_cast<unsigned>(std::min(planes, kMostRows)));
}

template <class... Wanted, class... Given>
void launch(const char* name, void (*kernel)(Wanted...), dim3 grid, cudaStream_t stream, Given... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = dim3(kBlockCols, kBlockRows);
  config.stream = stream;
  check_cuda(cudaLaunchKernelEx(&config, kernel, arguments...), name);
}

__global__ void __launch_bounds__(kBlock) fill_columns(const __grid_constant__ FillArgs a) {
  const int64_t col = (static_cast<int64_t>(blockIdx.x) * kBlockRows + threadIdx.y) * kBlockCols + threadIdx.x;
  if (col < a.picture.cols) fill_column(a, static_cast<int>(col));
}

template <class Pixel>
__global__ void __launch_bounds__(kBlock) fill_pixels(const __grid_constant__ FillArgs a) {
  const int col = blockIdx.x * kBlockCols + threadIdx.x;
  if (col >= a.picture.cols) return;
  for (int row = blockIdx.y * kBlockRows + threadIdx.y; row < a.picture.rows; row += gridDim.y * kBlockRows)
    fill_pixel<Pixel>(a, row, col);
}

// One thread for each sample, in the order of memory along x.
template <class Pixel, class Sample>
__global__ void __launch_bounds__(kBlock) gather_samples(const __grid_constant__ GatherArgs a) {
  const Tiles& t = a.tiles;
  const int inner = t.col == 1 ? 1 : t.channels, outer = t.col == 1 ? t.channels : 1;
  const int64_t x = static_cast<int64_t>(blockIdx.x) * kBlockCols + threadIdx.x;
  if (x >= static_cast<int64_t>(a.cols.tile) * inner) return;
  const Mapping mapping = mapping_of(a);
  const int col = static_cast<int>(x / inner), within = static_cast<int>(x % inner);
  for (int64_t plane = blockIdx.z; plane < static_cast<int64_t>(t.count) * outer; plane += gridDim.z)
    for (int row = blockIdx.y * kBlockRows + threadIdx.y; row < a.rows.tile; row += gridDim.y * kBlockRows)
      gather_element<Pixel, Sample>(a, mapping, t.first + static_cast<int>(plane / outer),
                                    within + static_cast<int>(plane % outer), row, col);
}

// One thread for each input pixel. All that find something wrong store the same word, so that none need wait.
template <class Pixel, class Sample, int S>
__global__ void __launch_bounds__(kBlock, 4)
    assemble_blocks(const __grid_constant__ AssembleArgs a, int32_t* nonfinite) {
  const int col = blockIdx.x * kBlockCols + threadIdx.x;
  if (col >= a.picture.cols) return;
  const Levels levels = levels_of<Pixel>(a);
  int found = 0;
  for (int row = a.row0 + blockIdx.y * kBlockRows + threadIdx.y; row < a.row1; row += gridDim.y * kBlockRows)
    found += assemble_block<Pixel, Sample, S>(a, levels, row, col);
  if (found) *nonfinite = 1;
}

}  // namespace

void check_cuda(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // so that the next call does not report it again
  throw CudaError(std::string(call) + " failed: " + cudaGetErrorString(status));
}

void fill_cuda(const FillArgs& a, cudaStream_t stream) {
  const int rows = a.picture.rows, cols = a.picture.cols;
  launch("fill", fill_columns, grid_of((cols + kBlockRows - 1) / kBlockRows, 1), stream, a);
  with_pixel(a.picture.type,
             [&](auto pixel) { launch("fill", fill_pixels<decltype(pixel)>, grid_of(cols, rows), stream, a); });
}

void gather_cuda(const GatherArgs& a, cudaStream_t stream) {
  const Tiles& t = a.tiles;
  const bool planes = t.col == 1;
  const dim3 grid = grid_of(static_cast<int64_t>(a.cols.tile) * (planes ? 1 : t.channels), a.rows.tile,
                            static_cast<int64_t>(t.count) * (planes ? t.channels : 1));
  with_pixel(a.picture.type, [&](auto pixel) {
    with_sample(t.type, [&](auto sample) {
      launch("gather", gather_samples<decltype(pixel), decltype(sample)>, grid, stream, a);
    });
  });
}

void assemble_cuda(const AssembleArgs& a, int32_t* nonfinite, cudaStream_t stream) {
  const dim3 grid = grid_of(a.picture.cols, a.row1 - a.row0);
  with_pixel(a.picture.type, [&](auto pixel) {
    with_sample(a.residual.type, [&](auto sample) {
      with_scale(a.base.scale, [&](auto scale) {
        launch("assemble", assemble_blocks<decltype(pixel), decltype(sample), decltype(scale)::value>, grid, stream, a,
               nonfinite);
      });
    });
  });
}

}  // namespace acutance
