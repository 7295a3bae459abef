#include "rows_impl.h"

namespace acutance {

const Rows kRowsNeon{"neon", [] { return true; }, gather, assemble};

}  // namespace acutance
