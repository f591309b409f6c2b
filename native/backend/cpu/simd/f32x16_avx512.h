// F32x16 on AVX-512: one register. Needs F, DQ, BW, VL.
#pragma once

#include <immintrin.h>

#include "backend/math/scalar.h"

namespace longhaul::cpu::avx512 {

struct F32x16 {
  __m512 v;
};

LONGHAUL_HD F32x16 load(const float* p) { return {_mm512_loadu_ps(p)}; }
LONGHAUL_HD void store(float* p, F32x16 a) { _mm512_storeu_ps(p, a.v); }
LONGHAUL_HD F32x16 broadcast(float x) { return {_mm512_set1_ps(x)}; }
/** Sixteen bf16 values, widened exactly. */
LONGHAUL_HD F32x16 load(const uint16_t* p) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
}

LONGHAUL_HD F32x16 operator+(F32x16 a, F32x16 b) { return {_mm512_add_ps(a.v, b.v)}; }
LONGHAUL_HD F32x16 operator-(F32x16 a, F32x16 b) { return {_mm512_sub_ps(a.v, b.v)}; }
LONGHAUL_HD F32x16 operator*(F32x16 a, F32x16 b) { return {_mm512_mul_ps(a.v, b.v)}; }
LONGHAUL_HD F32x16 operator/(F32x16 a, F32x16 b) { return {_mm512_div_ps(a.v, b.v)}; }
LONGHAUL_HD F32x16 fma(F32x16 a, F32x16 b, F32x16 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
LONGHAUL_HD F32x16 max(F32x16 a, F32x16 b) { return {_mm512_max_ps(a.v, b.v)}; }
LONGHAUL_HD F32x16 min(F32x16 a, F32x16 b) { return {_mm512_min_ps(a.v, b.v)}; }
LONGHAUL_HD F32x16 select_gt(F32x16 a, F32x16 b, F32x16 yes, F32x16 no) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ), no.v, yes.v)};
}

LONGHAUL_HD F32x16 shift_exponent(F32x16 p, F32x16 t) {
  return {_mm512_castsi512_ps(
      _mm512_add_epi32(_mm512_castps_si512(p.v), _mm512_slli_epi32(_mm512_castps_si512(t.v), 23)))};
}
LONGHAUL_HD F32x16 split_exponent(F32x16 x, F32x16& e) {
  const __m512i bits = _mm512_castps_si512(x.v);
  const __m512i n = _mm512_srai_epi32(_mm512_sub_epi32(bits, _mm512_set1_epi32(0x3f3504f3)), 23);
  e.v = _mm512_cvtepi32_ps(n);
  return {_mm512_castsi512_ps(_mm512_sub_epi32(bits, _mm512_slli_epi32(n, 23)))};
}

}  // namespace longhaul::cpu::avx512

template <>
struct longhaul::math::Lanes<longhaul::cpu::avx512::F32x16> {
  LONGHAUL_HD longhaul::cpu::avx512::F32x16 set1(float x) { return longhaul::cpu::avx512::broadcast(x); }
};
