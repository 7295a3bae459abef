// Whole rows of gather and assemble with vector instructions: same results, bit for bit, as the functors in core/.
#pragma once

#include "core/assemble.h"
#include "core/gather.h"

namespace acutance {

// One set of instructions. The functions take no memory themselves: what they include is compiled for newer processors,
// and the linker must not find a library function among it.
struct Rows {
  const char* name;
  bool (*supported)();
  // One row of one tile, every channel.
  void (*gather)(const GatherArgs& a, int tile, int row);
  // Input rows row0 .. row1-1; `scratch` holds scratch_floats(a) zeros. Returns how many samples were not finite.
  int64_t (*assemble)(const AssembleArgs& a, int row0, int row1, float* scratch);
};

#ifdef ACUTANCE_ROWS_AVX2
extern const Rows kRowsAvx2;
#endif
#ifdef ACUTANCE_ROWS_NEON
extern const Rows kRowsNeon;
#endif

constexpr int kRowMargin = 8;  // mirrored samples on each side of a row: half of the most taps, and room
constexpr int kRowMostLanes = 8;

// Distance in floats between buffered rows: whole vectors, and one more.
ACUTANCE_FN int64_t row_stride(const AssembleArgs& a) {
  return (a.picture.cols + kRowMostLanes - 1) / kRowMostLanes * kRowMostLanes + kRowMostLanes;
}

// One mirrored row, the enlarged rows that the filter spans, the input row itself and the stitched residual.
ACUTANCE_FN int64_t scratch_floats(const AssembleArgs& a) {
  const int s = a.base.scale, colours = a.picture.colours;
  const int64_t rows = 1 + (a.base.taps + 1) * s * colours + colours + s * s;
  return rows * row_stride(a) + 2 * kRowMargin;
}

}  // namespace acutance
