#pragma once

#include <string>
#include <vector>

#include "args.h"

namespace acutance {

// Each runs its op with up to `threads` threads (0: as many as the process may use). fill allocates its own scratch.
void fill_cpu(FillArgs a, int threads);
void gather_cpu(const GatherArgs& a, int threads);
int64_t assemble_cpu(const AssembleArgs& a, int threads);

// The ways to compute that this processor has, slowest first: "plain" and sets of vector instructions.
std::vector<std::string> paths();

// Takes one of paths() from now on, in every thread; the last one is taken at first. Results are the same, bit for bit.
void use_path(const std::string& name);

}  // namespace acutance
