// The guard: the n = s*s outputs y of one input pixel x made to average to x within [low, high].
#pragma once

#include "value.h"

namespace acutance {

// Residuals beyond this many stored units are cut before the projection, so that sums stay finite in float32.
constexpr float kGuardReach = 1048576.0f;

// Euclidean projection of d onto {sum d = 0, low <= d <= high}, low <= 0 <= high, by variable fixing (Kiwiel,
// "Variable fixing algorithms for the continuous quadratic knapsack problem", J. Optim. Theory Appl. 136, 2008).
template <class Real>
ACUTANCE_FN void project(Real* d, int n, Real low, Real high) {
  unsigned fixed = 0;
  Real rest = 0;  // what the elements not yet fixed must sum to
  for (int left = n; left > 0;) {
    Real sum = 0;
    ACUTANCE_UNROLL
    for (int k = 0; k < n; ++k)
      if (!(fixed >> k & 1u)) sum += d[k];
    const Real shift = (sum - rest) / static_cast<Real>(left);
    Real below = 0, above = 0;
    ACUTANCE_UNROLL
    for (int k = 0; k < n; ++k) {
      if (fixed >> k & 1u) continue;
      const Real z = d[k] - shift;
      if (z < low) below += low - z;
      if (z > high) above += z - high;
    }
    const bool fix_low = below > 0 && below >= above, fix_high = above > 0 && above >= below;
    const bool last = fix_low == fix_high;  // neither, or both exactly balanced
    ACUTANCE_UNROLL
    for (int k = 0; k < n; ++k) {
      if (fixed >> k & 1u) continue;
      const Real z = d[k] - shift;
      if (fix_low && z < low) {
        d[k] = low;
      } else if (fix_high && z > high) {
        d[k] = high;
      } else {
        if (last) d[k] = z;
        continue;
      }
      fixed |= 1u << k;
      rest -= d[k];
      --left;
    }
    if (last) return;
  }
}

// Integers whose sum is exactly 0, by largest remainder (ties: smallest index), within [low, high]; d is projected.
ACUTANCE_FN void round_to_zero_sum(float* d, int n, float low, float high) {
  float remainder[kMaxBlock];
  int missing = 0;
  ACUTANCE_UNROLL
  for (int k = 0; k < n; ++k) {
    const float whole = floorf(d[k]);
    remainder[k] = d[k] - whole;
    d[k] = whole;
    missing -= static_cast<int>(whole);
  }
  while (missing != 0) {
    const float step = missing > 0 ? 1.0f : -1.0f;
    int best = -1;
    float most = 0.0f;
    ACUTANCE_UNROLL
    for (int k = 0; k < n; ++k) {
      if (d[k] + step < low || d[k] + step > high) continue;
      if (best < 0 || step * remainder[k] > most) best = k, most = step * remainder[k];
    }
    if (best < 0) return;  // not reached while low <= 0 <= high
    ACUTANCE_UNROLL
    for (int k = 0; k < n; ++k)
      if (k == best) d[k] += step, remainder[k] -= step;
    missing -= static_cast<int>(step);
  }
}

// Integer pictures: y becomes integers that sum to exactly n * x.
ACUTANCE_FN void guard_integers(float* y, int n, float x, float low, float high) {
  x = clamp(x, low, high);
  ACUTANCE_UNROLL
  for (int k = 0; k < n; ++k) y[k] = clamp(y[k] - x, -kGuardReach, kGuardReach);
  project(y, n, low - x, high - x);
  round_to_zero_sum(y, n, low - x, high - x);
  ACUTANCE_UNROLL
  for (int k = 0; k < n; ++k) y[k] += x;
}

// What is missing for y to sum to n * x.
ACUTANCE_FN double missing_of(const float* y, int n, float x) {
  double rest = static_cast<double>(n) * x;
  ACUTANCE_UNROLL
  for (int k = 0; k < n; ++k) rest -= y[k];
  return rest;
}

// y[at] = value without an index that is only known at run time: that would move y out of a GPU's registers.
ACUTANCE_FN void put(float* y, int n, int at, float value) {
  ACUTANCE_UNROLL
  for (int k = 0; k < n; ++k)
    if (k == at) y[k] = value;
}

// Makes y, within [low, high], sum in double to n * x: the sample of smallest magnitude, whose unit in the last place
// is the finest, takes what rounding left over. When a bound holds it back, the next larger one takes more than that,
// and the first gets the surplus.
ACUTANCE_FN void settle_sum(float* y, int n, float x, float low, float high) {
  int first = -1;
  unsigned tried = 0;
  for (int turn = 0; turn < n; ++turn) {
    const double rest = missing_of(y, n, x);
    if (rest == 0.0) return;
    int best = -1;
    float value = 0.0f;
    ACUTANCE_UNROLL
    for (int k = 0; k < n; ++k)
      if (!(tried >> k & 1u) && (best < 0 || fabsf(y[k]) < fabsf(value))) best = k, value = y[k];
    const double wanted = value + rest;
    float moved = static_cast<float>(wanted);
    if (first >= 0 && rest < 0 && moved > wanted) moved = nextafterf(moved, -INFINITY);
    if (first >= 0 && rest > 0 && moved < wanted) moved = nextafterf(moved, INFINITY);
    value = clamp(moved, low, high);
    put(y, n, best, value);
    if (value == moved) break;
    if (first < 0) first = best;
    tried |= 1u << best;
  }
  if (first < 0) return;
  const double surplus = missing_of(y, n, x);
  ACUTANCE_UNROLL
  for (int k = 0; k < n; ++k)
    if (k == first) y[k] = clamp(static_cast<float>(y[k] + surplus), low, high);
}

// Float pictures: y sums in double to n * x, to one ulp of x. (With samples of both signs, all larger than x, to one
// ulp of the smallest: float32 holds no better.) A block with a sample that is not finite stays as it is.
ACUTANCE_FN void guard_floats(float* y, int n, float x, float low, float high) {
  bool finite = is_finite(x);
  ACUTANCE_UNROLL
  for (int k = 0; k < n; ++k) finite = finite && is_finite(y[k]);
  if (!finite) return;
  x = clamp(x, low, high);
  double d[kMaxBlock];
  ACUTANCE_UNROLL
  for (int k = 0; k < n; ++k) d[k] = static_cast<double>(y[k]) - x;
  project(d, n, static_cast<double>(low) - x, static_cast<double>(high) - x);
  ACUTANCE_UNROLL
  for (int k = 0; k < n; ++k) y[k] = clamp(static_cast<float>(d[k] + x), low, high);
  settle_sum(y, n, x, low, high);
}

template <class Pixel>
ACUTANCE_FN void guard_block(float* y, int n, float x, float low, float high) {
  if (IsFloat<Pixel>::value)
    guard_floats(y, n, x, low, high);
  else
    guard_integers(y, n, x, low, high);
}

}  // namespace acutance
