#pragma once

#include <functional>

namespace acutance {

// The number asked for, or for 0 the number of processors that this process may run on.
int thread_count(int asked);

// Calls work(i) once for every i in [0, parts), on up to `threads` threads, the caller's among them; the first
// exception is thrown again. Threads live for this call only, so that a fork between calls does no harm.
void parallel(int parts, int threads, const std::function<void(int)>& work);

}  // namespace acutance
