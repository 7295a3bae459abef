// What the bindings hand to the ops, checked once for every device.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/assemble.h"
#include "core/fill.h"
#include "core/gather.h"

namespace acutance {

// Becomes acutance.errors.UsageError in Python.
struct ArgumentError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// An array as Python describes it, wherever it lies. `type` is a NumPy type string without byte order ("u2", "f4",
// "b1").
struct Array {
  std::string name;
  void* data;
  std::string type;
  std::vector<int64_t> shape, strides;  // strides in bytes
  bool writable;
  std::string device;  // "cpu" or "cuda:0"
};

struct Grid {
  Axis rows, cols;
};

// (size, tile, halo, overlap) of each axis.
Grid check_grid(const std::vector<int>& rows, const std::vector<int>& cols);

FillArgs check_fill(const Array& slice, const Array& mask, const Array& out);

GatherArgs check_gather(const Array& slice, const Grid& grid, double gain, double bias, int unshuffle,
                        const std::string& layout, int first, const Array& tiles);

struct AssembleOptions {
  double gain;
  std::string base;
  bool guard;
  std::optional<double> low, high;
  double padding;
  std::string layout;
  int scale, first, row0, row1;
};

AssembleArgs check_assemble(const std::optional<Array>& residual, const Array& slice, const Grid& grid,
                            const AssembleOptions& options, const std::optional<Array>& mask, const Array& out);

}  // namespace acutance
