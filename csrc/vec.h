// Vectors of kLanes floats for the instruction set that the including file is compiled for.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/value.h"

#if defined(__AVX2__) && defined(__F16C__)
#include <immintrin.h>
#elif defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
#else
#error "compile this file for AVX2 with F16C, or for 64-bit Arm"
#endif

#define ACUTANCE_INLINE inline __attribute__((always_inline))

namespace acutance {
namespace {

#ifdef __AVX2__

constexpr int kLanes = 8;
typedef float Floats __attribute__((vector_size(32)));
typedef int32_t Ints __attribute__((vector_size(32)));

ACUTANCE_INLINE Floats load(const float* p) {
  return _mm256_loadu_ps(p);
}
ACUTANCE_INLINE void store(float* p, Floats v) {
  _mm256_storeu_ps(p, v);
}
ACUTANCE_INLINE void store_ints(void* p, Ints v) {
  _mm256_storeu_si256(static_cast<__m256i*>(p), (__m256i)v);
}
ACUTANCE_INLINE Floats all_of(float x) {
  return _mm256_set1_ps(x);
}
ACUTANCE_INLINE Floats larger(Floats a, Floats b) {
  return _mm256_max_ps(a, b);
}  // b where either is NaN
ACUTANCE_INLINE Floats smaller(Floats a, Floats b) {
  return _mm256_min_ps(a, b);
}  // b where either is NaN
ACUTANCE_INLINE Floats floor_of(Floats v) {
  return _mm256_floor_ps(v);
}
ACUTANCE_INLINE Ints to_ints(Floats v) {
  return (Ints)_mm256_cvtps_epi32(v);
}  // half to even
ACUTANCE_INLINE unsigned lanes_of(Ints mask) {
  return static_cast<unsigned>(_mm256_movemask_ps((__m256)mask));
}
ACUTANCE_INLINE Floats choose(Ints mask, Floats yes, Floats no) {
  return _mm256_blendv_ps(no, yes, (__m256)mask);
}

ACUTANCE_INLINE Floats load_pixels(const float* p) {
  return load(p);
}
ACUTANCE_INLINE Floats load_pixels(const uint8_t* p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
ACUTANCE_INLINE Floats load_pixels(const uint16_t* p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
ACUTANCE_INLINE Floats load_pixels(const int16_t* p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}

ACUTANCE_INLINE Floats load_samples(const float* p) {
  return load(p);
}
ACUTANCE_INLINE Floats load_samples(const Half* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
ACUTANCE_INLINE void store_samples(float* p, Floats v) {
  store(p, v);
}
ACUTANCE_INLINE void store_samples(Half* p, Floats v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}

typedef double Doubles __attribute__((vector_size(32)));
typedef int64_t Longs __attribute__((vector_size(32)));

ACUTANCE_INLINE Doubles lower(Floats v) {
  return _mm256_cvtps_pd(_mm256_castps256_ps128(v));
}
ACUTANCE_INLINE Doubles upper(Floats v) {
  return _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
}
ACUTANCE_INLINE Floats join(Doubles low, Doubles high) {
  return _mm256_set_m128(_mm256_cvtpd_ps(high), _mm256_cvtpd_ps(low));
}
ACUTANCE_INLINE unsigned lanes_of(Longs low, Longs high) {
  return static_cast<unsigned>(_mm256_movemask_pd((__m256d)low) | _mm256_movemask_pd((__m256d)high) << 4);
}

// The low 16 bits of each.
ACUTANCE_INLINE void store_low_halves(void* p, Ints v) {
  const __m256i packed = _mm256_packus_epi32((__m256i)(v & 0xffff), _mm256_setzero_si256());
  _mm_storeu_si128(static_cast<__m128i*>(p), _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08)));
}

// a0 b0 a1 b1 ...
ACUTANCE_INLINE void store_pairs(void* p, Ints a, Ints b) {
  const __m256i low = _mm256_unpacklo_epi32((__m256i)a, (__m256i)b);
  const __m256i high = _mm256_unpackhi_epi32((__m256i)a, (__m256i)b);
  auto* to = static_cast<__m256i*>(p);
  _mm256_storeu_si256(to, _mm256_permute2x128_si256(low, high, 0x20));
  _mm256_storeu_si256(to + 1, _mm256_permute2x128_si256(low, high, 0x31));
}

// a0 b0 c0 d0 a1 b1 ...
ACUTANCE_INLINE void store_fours(void* p, Ints a, Ints b, Ints c, Ints d) {
  const __m256i ab0 = _mm256_unpacklo_epi32((__m256i)a, (__m256i)b),
                ab1 = _mm256_unpackhi_epi32((__m256i)a, (__m256i)b);
  const __m256i cd0 = _mm256_unpacklo_epi32((__m256i)c, (__m256i)d),
                cd1 = _mm256_unpackhi_epi32((__m256i)c, (__m256i)d);
  const __m256i q0 = _mm256_unpacklo_epi64(ab0, cd0), q1 = _mm256_unpackhi_epi64(ab0, cd0);
  const __m256i q2 = _mm256_unpacklo_epi64(ab1, cd1), q3 = _mm256_unpackhi_epi64(ab1, cd1);
  auto* to = static_cast<__m256i*>(p);
  _mm256_storeu_si256(to, _mm256_permute2x128_si256(q0, q1, 0x20));
  _mm256_storeu_si256(to + 1, _mm256_permute2x128_si256(q2, q3, 0x20));
  _mm256_storeu_si256(to + 2, _mm256_permute2x128_si256(q0, q1, 0x31));
  _mm256_storeu_si256(to + 3, _mm256_permute2x128_si256(q2, q3, 0x31));
}

#else

constexpr int kLanes = 4;
typedef float Floats __attribute__((vector_size(16)));
typedef int32_t Ints __attribute__((vector_size(16)));

ACUTANCE_INLINE Floats load(const float* p) {
  return vld1q_f32(p);
}
ACUTANCE_INLINE void store(float* p, Floats v) {
  vst1q_f32(p, v);
}
ACUTANCE_INLINE void store_ints(void* p, Ints v) {
  vst1q_s32(static_cast<int32_t*>(p), v);
}
ACUTANCE_INLINE Floats all_of(float x) {
  return vdupq_n_f32(x);
}
ACUTANCE_INLINE Floats choose(Ints mask, Floats yes, Floats no) {
  return vbslq_f32((uint32x4_t)mask, yes, no);
}
ACUTANCE_INLINE Floats larger(Floats a, Floats b) {
  return choose((Ints)(a > b), a, b);
}
ACUTANCE_INLINE Floats smaller(Floats a, Floats b) {
  return choose((Ints)(a < b), a, b);
}
ACUTANCE_INLINE Floats floor_of(Floats v) {
  return vrndmq_f32(v);
}
ACUTANCE_INLINE Ints to_ints(Floats v) {
  return vcvtnq_s32_f32(v);
}  // half to even
ACUTANCE_INLINE unsigned lanes_of(Ints mask) {
  return vaddvq_u32((uint32x4_t)mask & (uint32x4_t){1, 2, 4, 8});
}

ACUTANCE_INLINE Floats load_pixels(const float* p) {
  return load(p);
}
ACUTANCE_INLINE Floats load_pixels(const uint8_t* p) {
  uint32_t four;
  memcpy(&four, p, 4);
  return vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(four))))));
}
ACUTANCE_INLINE Floats load_pixels(const uint16_t* p) {
  return vcvtq_f32_u32(vmovl_u16(vld1_u16(p)));
}
ACUTANCE_INLINE Floats load_pixels(const int16_t* p) {
  return vcvtq_f32_s32(vmovl_s16(vld1_s16(p)));
}

ACUTANCE_INLINE Floats load_samples(const float* p) {
  return load(p);
}
ACUTANCE_INLINE Floats load_samples(const Half* p) {
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(reinterpret_cast<const uint16_t*>(p))));
}
ACUTANCE_INLINE void store_samples(float* p, Floats v) {
  store(p, v);
}
ACUTANCE_INLINE void store_samples(Half* p, Floats v) {
  vst1_u16(reinterpret_cast<uint16_t*>(p), vreinterpret_u16_f16(vcvt_f16_f32(v)));
}

typedef double Doubles __attribute__((vector_size(16)));
typedef int64_t Longs __attribute__((vector_size(16)));

ACUTANCE_INLINE Doubles lower(Floats v) {
  return vcvt_f64_f32(vget_low_f32(v));
}
ACUTANCE_INLINE Doubles upper(Floats v) {
  return vcvt_high_f64_f32(v);
}
ACUTANCE_INLINE Floats join(Doubles low, Doubles high) {
  return vcvt_high_f32_f64(vcvt_f32_f64(low), high);
}
ACUTANCE_INLINE unsigned lanes_of(Longs low, Longs high) {
  return static_cast<unsigned>((low[0] & 1) | (low[1] & 2) | (high[0] & 4) | (high[1] & 8));
}

ACUTANCE_INLINE void store_low_halves(void* p, Ints v) {
  vst1_u16(static_cast<uint16_t*>(p), vmovn_u32((uint32x4_t)v));
}
ACUTANCE_INLINE void store_pairs(void* p, Ints a, Ints b) {
  vst2q_s32(static_cast<int32_t*>(p), (int32x4x2_t{{a, b}}));
}
ACUTANCE_INLINE void store_fours(void* p, Ints a, Ints b, Ints c, Ints d) {
  vst4q_s32(static_cast<int32_t*>(p), (int32x4x4_t{{a, b, c, d}}));
}

#endif

ACUTANCE_INLINE bool any(Ints mask) {
  return lanes_of(mask) != 0;
}

// clamp() of core/value.h, lane by lane.
ACUTANCE_INLINE Floats clamp(Floats v, Floats low, Floats high) {
  return smaller(high, larger(low, v));
}

ACUTANCE_INLINE Floats magnitude(Floats v) {
  return (Floats)((Ints)v & 0x7fffffff);
}

// The first `count` lanes; the others are 0.
ACUTANCE_INLINE Floats load_some(const float* p, int count) {
  float lanes[kLanes] = {};
  memcpy(lanes, p, sizeof(float) * count);
  return load(lanes);
}

// v[0][0] v[1][0] ... v[S-1][0] v[0][1] ..., rounded half to even; kLanes * S pixels.
template <int S, class Pixel>
ACUTANCE_INLINE void store_pixels(Pixel* p, const Floats* v) {
  if constexpr (sizeof(Pixel) == 4) {
    if constexpr (S == 2) return store_pairs(p, (Ints)v[0], (Ints)v[1]);
    if constexpr (S == 4) return store_fours(p, (Ints)v[0], (Ints)v[1], (Ints)v[2], (Ints)v[3]);
  } else if constexpr (S == 2 || S == 4) {
    constexpr int kBits = 8 * sizeof(Pixel), kMask = (1 << kBits) - 1;
    const Ints first = (to_ints(v[0]) & kMask) | (to_ints(v[1]) << kBits);
    if constexpr (S == 2 && kBits == 16) return store_ints(p, first);
    if constexpr (S == 2 && kBits == 8) return store_low_halves(p, first);
    if constexpr (S == 4) {
      const Ints second = (to_ints(v[S - 2]) & kMask) | (to_ints(v[S - 1]) << kBits);
      if constexpr (kBits == 16) return store_pairs(p, first, second);
      return store_ints(p, (first & 0xffff) | (second << 16));
    }
  }
  for (int j = 0; j < S; ++j) {
    if constexpr (sizeof(Pixel) == 4) {
      for (int l = 0; l < kLanes; ++l) p[l * S + j] = v[j][l];
    } else {
      const Ints whole = to_ints(v[j]);
      for (int l = 0; l < kLanes; ++l) p[l * S + j] = static_cast<Pixel>(whole[l]);
    }
  }
}

}  // namespace
}  // namespace acutance
