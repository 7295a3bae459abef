#include "rows_impl.h"

namespace acutance {

const Rows kRowsAvx2{"avx2", [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c"); }, gather,
                     assemble};

}  // namespace acutance
