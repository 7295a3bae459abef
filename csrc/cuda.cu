// The ops on a CUDA device.
#include <cuda_runtime.h>

#include <algorithm>

#include "cuda.h"
#include "cuda_assemble.h"
#include "cuda_gather.h"
#include "dispatch.h"

// Blocks of a grid along y and along z; a test has fewer.
#ifndef ACUTANCE_MOST_BLOCKS
#define ACUTANCE_MOST_BLOCKS 65535
#endif

namespace acutance {
namespace {

constexpr int kBlockCols = 32, kBlockRows = 4, kBlock = kBlockCols * kBlockRows;
constexpr int kWalk = 4;  // packs of a column of a tile that a thread makes
constexpr int64_t kMostRows = ACUTANCE_MOST_BLOCKS;

// Threads of the grid cover columns along x; along y and z they step on where the grid ends.
dim3 grid_of(int64_t cols, int64_t rows, int64_t planes = 1) {
  return dim3(static_cast<unsigned>((cols + kBlockCols - 1) / kBlockCols),
              static_cast<unsigned>(std::min((rows + kBlockRows - 1) / kBlockRows, kMostRows)),
              static_cast<unsigned>(std::min(planes, kMostRows)));
}

template <class... Wanted, class... Given>
void launch(const char* name, void (*kernel)(Wanted...), dim3 grid, int rows, cudaStream_t stream, Given... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = dim3(kBlockCols, static_cast<unsigned>(rows));
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

// One thread for each 16 bytes of a tile: columns of one channel. Bound by device memory: a stored value is read once
// and a sample written once, with some 5 instructions for each. Threads walk on along the rows of their tile, which
// shares out the divisions that find it. Eight blocks at once leave 64 registers for each thread: left to itself, ptxas
// spills one for the sake of more blocks.
template <class Pixel, class Sample>
__global__ void __launch_bounds__(kBlock, 8) gather_columns(const __grid_constant__ GatherArgs a) {
  const int col = (blockIdx.x * kBlockCols + threadIdx.x) * Pack<Sample>::kCount;
  if (col >= a.cols.tile) return;
  const Mapping mapping = mapping_of(a);
  for (int64_t plane = blockIdx.z; plane < static_cast<int64_t>(a.tiles.count) * a.tiles.channels; plane += gridDim.z)
    gather_column_packs<Pixel, Sample>(a, mapping, static_cast<int>(plane), col, blockIdx.y * kBlockRows + threadIdx.y,
                                       gridDim.y * kBlockRows);
}

// The same for 16 bytes of channels of one pixel.
template <class Pixel, class Sample>
__global__ void __launch_bounds__(kBlock) gather_channels(const __grid_constant__ GatherArgs a) {
  const int packs = a.tiles.channels / Pack<Sample>::kCount;
  const int64_t x = static_cast<int64_t>(blockIdx.x) * kBlockCols + threadIdx.x;
  if (x >= static_cast<int64_t>(a.cols.tile) * packs) return;
  const Mapping mapping = mapping_of(a);
  const int col = static_cast<int>(x / packs), channel = static_cast<int>(x % packs) * Pack<Sample>::kCount;
  for (int64_t tile = blockIdx.z; tile < a.tiles.count; tile += gridDim.z)
    for (int row = blockIdx.y * kBlockRows + threadIdx.y; row < a.rows.tile; row += gridDim.y * kBlockRows)
      gather_channel_pack<Pixel, Sample>(a, mapping, static_cast<int>(tile), channel, row, col);
}

struct Cuts {
  Cut rows, cols;
  int count;  // parts along the rows
};

// All threads that find something wrong store the same word, so that none need wait.
template <class Pixel, class Sample, int S>
__global__ void __launch_bounds__(kPartThreads, 2)
    assemble_parts(const __grid_constant__ AssembleArgs a, const __grid_constant__ Cuts cuts, Read way,
                   int32_t* nonfinite) {
  __shared__ PartMemory<Pixel, S> m;
  const int tx = threadIdx.x, ty = threadIdx.y, colours = a.picture.colours;
  const Levels levels = levels_of<Pixel>(a);
  const bool staged = colours * static_cast<int>(sizeof(Pixel)) <= PartMemory<Pixel, S>::kBytes;
  const Part cols = part_of(a.cols, cuts.cols, kPartCols, blockIdx.x);
  const int col = cols.first + tx;
  int found = 0;
  for (int number = blockIdx.y; number < cuts.count; number += gridDim.y) {
    Part rows = part_of(a.rows, cuts.rows, kPartRows, number);
    rows.begin = rows.begin > a.row0 ? rows.begin : a.row0;
    rows.end = rows.end < a.row1 ? rows.end : a.row1;
    if (rows.begin >= rows.end || cols.begin >= cols.end) continue;  // for all threads of the block
    const int row = rows.first + ty;
    const bool mine = row >= rows.begin && row < rows.end && col >= cols.begin && col < cols.end;
    const bool masked = mine && a.mask && a.mask[row * a.mask_pitch + col];
    if (!levels.base_alone) load_residual<Pixel, Sample, S>(a, way, rows, cols, tx, ty, m);
    for (int colour = 0; colour < colours; ++colour) {
      load_source(a, rows, cols, colour, tx, ty, m);
      __syncthreads();
      if (a.base.taps == 4)
        enlarge<Pixel, S, 4>(a.base, tx, ty, m);
      else
        enlarge<Pixel, S, 8>(a.base, tx, ty, m);
      __syncthreads();
      if (mine) found += finish_pixel(a, levels, rows, cols, row, col, colour, masked, staged, m);
    }
    __syncthreads();
    if (staged) write_rows(a, rows, cols, ty * kPartCols + tx, m);
  }
  if (found) *nonfinite = 1;
}

bool in_packs(const Tiles& t) {
  const int64_t size = t.type == Type::f16 ? 2 : 4;
  return reinterpret_cast<uintptr_t>(t.data) % kPack == 0 && (t.col == 1 ? t.row : t.col) * size % kPack == 0;
}

Read way_of(const AssembleArgs& a) {
  const Tiles& t = a.residual;
  if (!t.data || a.rows.overlap || a.cols.overlap || !in_packs(t)) return Read::samples;
  return t.col == 1 ? Read::columns : Read::channels;
}

int parts_of(const Axis& a, int start, int length) {
  return (a.tile - a.halo - start + length - 1) / length;
}

}  // namespace

void check_cuda(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // so that the next call does not report it again
  throw CudaError(std::string(call) + " failed: " + cudaGetErrorString(status));
}

void fill_cuda(const FillArgs& a, cudaStream_t stream) {
  const int rows = a.picture.rows, cols = a.picture.cols;
  launch("fill", fill_columns, grid_of((cols + kBlockRows - 1) / kBlockRows, 1), kBlockRows, stream, a);
  with_pixel(a.picture.type, [&](auto pixel) {
    launch("fill", fill_pixels<decltype(pixel)>, grid_of(cols, rows), kBlockRows, stream, a);
  });
}

void gather_cuda(const GatherArgs& a, cudaStream_t stream) {
  const Tiles& t = a.tiles;
  const bool planes = t.col == 1;
  const bool packs = in_packs(t) && static_cast<int64_t>(t.count) * t.channels <= INT32_MAX;
  const int64_t each = packs ? kPack / (t.type == Type::f16 ? 2 : 4) : 1;
  const int64_t along = static_cast<int64_t>(a.cols.tile) * (planes ? 1 : t.channels) / each;
  const dim3 grid = grid_of(along, packs && planes ? (a.rows.tile + kWalk - 1) / kWalk : a.rows.tile,
                            static_cast<int64_t>(t.count) * (planes ? t.channels : 1));
  with_pixel(a.picture.type, [&](auto pixel) {
    with_sample(t.type, [&](auto sample) {
      using Pixel = decltype(pixel);
      using Sample = decltype(sample);
      auto* kernel = gather_samples<Pixel, Sample>;
      if (packs) kernel = planes ? gather_columns<Pixel, Sample> : gather_channels<Pixel, Sample>;
      launch("gather", kernel, grid, kBlockRows, stream, a);
    });
  });
}

void assemble_cuda(const AssembleArgs& a, int32_t* nonfinite, cudaStream_t stream) {
  // Parts start at a multiple of 8 columns in the tile, and so of 16 bytes.
  Cuts cuts{{axis_tile(a.rows, a.row0), a.rows.halo, 0}, {0, a.cols.halo & ~7, 0}, 0};
  cuts.rows.parts = parts_of(a.rows, cuts.rows.start, kPartRows);
  cuts.cols.parts = parts_of(a.cols, cuts.cols.start, kPartCols);
  cuts.count = (axis_tile(a.rows, a.row1 - 1) + 1 - cuts.rows.first_tile) * cuts.rows.parts;
  const dim3 grid(static_cast<unsigned>(axis_count(a.cols)) * cuts.cols.parts,
                  static_cast<unsigned>(std::min<int64_t>(cuts.count, kMostRows)));
  with_pixel(a.picture.type, [&](auto pixel) {
    with_sample(a.residual.type, [&](auto sample) {
      with_scale(a.base.scale, [&](auto scale) {
        launch("assemble", assemble_parts<decltype(pixel), decltype(sample), decltype(scale)::value>, grid, kPartRows,
               stream, a, cuts, way_of(a), nonfinite);
      });
    });
  });
}

}  // namespace acutance
