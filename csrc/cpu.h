#pragma once

#include "args.h"

namespace acutance {

// Each runs its op with up to `threads` threads (0: as many as the process may use). fill allocates its own scratch.
void fill_cpu(FillArgs a, int threads);
void gather_cpu(const GatherArgs& a, int threads);
int64_t assemble_cpu(const AssembleArgs& a, int threads);

}  // namespace acutance
