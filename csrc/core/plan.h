// Integers: mirrored indices and the tiles of a picture, as python/acutance/tiling.py lays them.
#pragma once

#include <cstdint>

// Functions here have internal linkage: files compiled for different instruction sets include them, and the linker must
// not keep one that an older processor cannot run. On a GPU they are inlined, so that small arrays live in registers.
#ifdef __CUDACC__
#define ACUTANCE_FN __host__ __device__ static __forceinline__
#else
#define ACUTANCE_FN static inline
#endif

// Before a loop over an array that must live in registers, and before one whose code should stay small.
#ifdef __CUDA_ARCH__
#define ACUTANCE_UNROLL _Pragma("unroll")
#define ACUTANCE_NO_UNROLL _Pragma("unroll 1")
#else
#define ACUTANCE_UNROLL
#define ACUTANCE_NO_UNROLL
#endif

namespace acutance {

constexpr int kMaxScale = 4;
constexpr int kMaxBlock = kMaxScale * kMaxScale;

enum class Type { u8, i16, u16, f32, f16 };

// Rows of pixels: `colours` (1 or 3) samples each, `pitch` bytes from row to row.
struct Picture {
  void* data;
  int64_t pitch;
  int rows, cols, colours;
  Type type;
};

// Tensor of tiles; strides in samples.
struct Tiles {
  void* data;
  int64_t tile, channel, row, col;
  int first, count, channels;
  Type type;
};

// Tiles along one axis, in input pixels; see tiling.Axis.
struct Axis {
  int size, tile, halo, overlap;
};

ACUTANCE_FN int axis_core(const Axis& a) {
  return a.tile - 2 * a.halo;
}

ACUTANCE_FN int axis_step(const Axis& a) {
  return axis_core(a) - a.overlap;
}

ACUTANCE_FN int axis_count(const Axis& a) {
  return a.size <= axis_core(a) ? 1 : (a.size - a.overlap + axis_step(a) - 1) / axis_step(a);
}

ACUTANCE_FN int axis_origin(const Axis& a, int i) {
  const int last = a.size > axis_core(a) ? a.size - axis_core(a) : 0;
  const int64_t wanted = static_cast<int64_t>(i) * axis_step(a);
  return static_cast<int>(wanted < last ? wanted : last) - a.halo;
}

// The tile that picture pixel `p` belongs to.
ACUTANCE_FN int axis_tile(const Axis& a, int p) {
  const int i = p / axis_step(a), last = axis_count(a) - 1;
  return i < last ? i : last;
}

// numpy.pad(mode="symmetric"): ... 1 0 | 0 1 2 ... n-1 | n-1 n-2 ..., at any distance.
// Folded edge by edge, once in nearly all cases: a division of 64 bits is a call on a GPU, which spills registers.
ACUTANCE_FN int mirror(int64_t i, int n) {
  while (i < 0 || i >= n) i = i < 0 ? -1 - i : 2 * static_cast<int64_t>(n) - 1 - i;
  return static_cast<int>(i);
}

}  // namespace acutance
