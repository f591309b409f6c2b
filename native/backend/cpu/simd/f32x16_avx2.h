// F32x16 on AVX2 + FMA: two registers.
#pragma once

#include <immintrin.h>

#include "backend/math/scalar.h"

namespace longhaul::cpu::LONGHAUL_ISA {

struct F32x16 {
  __m256 lo, hi;
};

LONGHAUL_HD F32x16 load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
LONGHAUL_HD void store(float* p, F32x16 a) {
  _mm256_storeu_ps(p, a.lo);
  _mm256_storeu_ps(p + 8, a.hi);
}
LONGHAUL_HD F32x16 broadcast(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
LONGHAUL_HD __m256 widen_bf16(const uint16_t* p) {
  const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}
/** Sixteen bf16 values, widened exactly. */
LONGHAUL_HD F32x16 load(const uint16_t* p) { return {widen_bf16(p), widen_bf16(p + 8)}; }

LONGHAUL_HD F32x16 operator+(F32x16 a, F32x16 b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
LONGHAUL_HD F32x16 operator-(F32x16 a, F32x16 b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
LONGHAUL_HD F32x16 operator*(F32x16 a, F32x16 b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
LONGHAUL_HD F32x16 operator/(F32x16 a, F32x16 b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
LONGHAUL_HD F32x16 fma(F32x16 a, F32x16 b, F32x16 c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
LONGHAUL_HD F32x16 max(F32x16 a, F32x16 b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
LONGHAUL_HD F32x16 min(F32x16 a, F32x16 b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
LONGHAUL_HD F32x16 select_gt(F32x16 a, F32x16 b, F32x16 yes, F32x16 no) {
  return {_mm256_blendv_ps(no.lo, yes.lo, _mm256_cmp_ps(a.lo, b.lo, _CMP_GT_OQ)),
          _mm256_blendv_ps(no.hi, yes.hi, _mm256_cmp_ps(a.hi, b.hi, _CMP_GT_OQ))};
}

LONGHAUL_HD __m256 shift_exponent(__m256 p, __m256 t) {
  return _mm256_castsi256_ps(
      _mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(_mm256_castps_si256(t), 23)));
}
LONGHAUL_HD F32x16 shift_exponent(F32x16 p, F32x16 t) {
  return {shift_exponent(p.lo, t.lo), shift_exponent(p.hi, t.hi)};
}
LONGHAUL_HD __m256 split_exponent(__m256 x, __m256& e) {
  const __m256i bits = _mm256_castps_si256(x);
  const __m256i n = _mm256_srai_epi32(_mm256_sub_epi32(bits, _mm256_set1_epi32(0x3f3504f3)), 23);
  e = _mm256_cvtepi32_ps(n);
  return _mm256_castsi256_ps(_mm256_sub_epi32(bits, _mm256_slli_epi32(n, 23)));
}
LONGHAUL_HD F32x16 split_exponent(F32x16 x, F32x16& e) {
  return {split_exponent(x.lo, e.lo), split_exponent(x.hi, e.hi)};
}

LONGHAUL_HD F32x16 load_f16(const uint16_t* p) {
  return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
          _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)))};
}

struct Words16 {
  __m256i lo, hi;
};
LONGHAUL_HD Words16 load_words(const void* p) {
  const __m256i* q = static_cast<const __m256i*>(p);
  return {_mm256_loadu_si256(q), _mm256_loadu_si256(q + 1)};
}
LONGHAUL_HD void store_words(void* p, Words16 a) {
  _mm256_storeu_si256(static_cast<__m256i*>(p), a.lo);
  _mm256_storeu_si256(static_cast<__m256i*>(p) + 1, a.hi);
}
LONGHAUL_HD Words16 broadcast_word(uint32_t x) { return {_mm256_set1_epi32(int(x)), _mm256_set1_epi32(int(x))}; }
LONGHAUL_HD F32x16 as_floats(Words16 a) { return {_mm256_castsi256_ps(a.lo), _mm256_castsi256_ps(a.hi)}; }
/** The lower (0) or upper (1) bf16 of each word. */
LONGHAUL_HD F32x16 widen_bf16(Words16 a, int upper) {
  const __m256i mask = _mm256_set1_epi32(int(0xffff0000u));
  return upper ? as_floats({_mm256_and_si256(a.lo, mask), _mm256_and_si256(a.hi, mask)})
               : as_floats({_mm256_slli_epi32(a.lo, 16), _mm256_slli_epi32(a.hi, 16)});
}
/** From int32. */
LONGHAUL_HD F32x16 to_floats(Words16 a) { return {_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)}; }
/** Byte `byte` of each word as a float. */
LONGHAUL_HD F32x16 byte_to_floats(Words16 a, int byte) {
  const __m128i shift = _mm_cvtsi32_si128(8 * byte);
  const __m256i mask = _mm256_set1_epi32(255);
  return {_mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srl_epi32(a.lo, shift), mask)),
          _mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srl_epi32(a.hi, shift), mask))};
}

LONGHAUL_HD __m256 dot_bf16(__m256 acc, __m256i w, __m256i x) {
  const __m256i odd = _mm256_set1_epi32(int(0xffff0000u));
  const auto f = [](__m256i a) { return _mm256_castsi256_ps(a); };
  acc = _mm256_fmadd_ps(f(_mm256_and_si256(w, odd)), f(_mm256_and_si256(x, odd)), acc);
  return _mm256_fmadd_ps(f(_mm256_slli_epi32(w, 16)), f(_mm256_slli_epi32(x, 16)), acc);
}
LONGHAUL_HD F32x16 dot_bf16(F32x16 acc, Words16 w, Words16 x) {
  return {dot_bf16(acc.lo, w.lo, x.lo), dot_bf16(acc.hi, w.hi, x.hi)};
}
// Even and odd bytes apart as 16 bits: vpmaddubsw would saturate.
LONGHAUL_HD __m256i dot_u8s8(__m256i acc, __m256i w, __m256i x) {
  const __m256i even_w = _mm256_and_si256(w, _mm256_set1_epi16(255)), odd_w = _mm256_srli_epi16(w, 8);
  const __m256i even_x = _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8), odd_x = _mm256_srai_epi16(x, 8);
  return _mm256_add_epi32(acc, _mm256_add_epi32(_mm256_madd_epi16(even_w, even_x), _mm256_madd_epi16(odd_w, odd_x)));
}
LONGHAUL_HD Words16 dot_u8s8(Words16 acc, Words16 w, Words16 x) {
  return {dot_u8s8(acc.lo, w.lo, x.lo), dot_u8s8(acc.hi, w.hi, x.hi)};
}

/** A table of sixteen bytes, looked up by nibbles. */
struct ByteTable {
  __m256i v;
};
LONGHAUL_HD ByteTable load_table(const uint8_t* p) {
  return {_mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
/** table[nibble] for the low (0) or high (1) nibble of every byte. */
LONGHAUL_HD Words16 look_up(ByteTable t, Words16 a, int high) {
  const __m256i mask = _mm256_set1_epi8(15);
  const auto one = [&](__m256i x) {
    return _mm256_shuffle_epi8(t.v, _mm256_and_si256(high ? _mm256_srli_epi16(x, 4) : x, mask));
  };
  return {one(a.lo), one(a.hi)};
}
/** table[(word >> shift) & 15] */
LONGHAUL_HD F32x16 look_up(F32x16 t, Words16 a, int shift) {
  const __m128i by = _mm_cvtsi32_si128(shift);
  const auto one = [&](__m256i x) {
    const __m256i index = _mm256_srl_epi32(x, by);  // the permutes see the lowest three bits; bit 3 chooses the half
    return _mm256_blendv_ps(_mm256_permutevar8x32_ps(t.lo, index), _mm256_permutevar8x32_ps(t.hi, index),
                            _mm256_castsi256_ps(_mm256_slli_epi32(index, 28)));
  };
  return {one(a.lo), one(a.hi)};
}

/** dot_bf16 needs subnormal results flushed to zero. */
struct FlushSubnormals {
  const unsigned saved = _mm_getcsr();
  FlushSubnormals() { _mm_setcsr(saved | 0x8040); }
  ~FlushSubnormals() { _mm_setcsr(saved); }
};

}  // namespace longhaul::cpu::LONGHAUL_ISA

template <>
struct longhaul::math::Lanes<longhaul::cpu::LONGHAUL_ISA::F32x16> {
  LONGHAUL_HD longhaul::cpu::LONGHAUL_ISA::F32x16 set1(float x) { return longhaul::cpu::LONGHAUL_ISA::broadcast(x); }
};
