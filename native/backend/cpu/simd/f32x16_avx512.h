// F32x16 on AVX-512: one register. Needs F, DQ, BW, VL.
#pragma once

#include <immintrin.h>

#include "backend/math/scalar.h"

namespace longhaul::cpu::LONGHAUL_ISA {

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

LONGHAUL_HD F32x16 load_f16(const uint16_t* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}

struct Words16 {
  __m512i v;
};
LONGHAUL_HD Words16 load_words(const void* p) { return {_mm512_loadu_si512(p)}; }
LONGHAUL_HD void store_words(void* p, Words16 a) { _mm512_storeu_si512(p, a.v); }
LONGHAUL_HD Words16 broadcast_word(uint32_t x) { return {_mm512_set1_epi32(int(x))}; }
LONGHAUL_HD F32x16 as_floats(Words16 a) { return {_mm512_castsi512_ps(a.v)}; }
/** The lower (0) or upper (1) bf16 of each word. */
LONGHAUL_HD F32x16 widen_bf16(Words16 a, int upper) {
  return as_floats({upper ? _mm512_and_si512(a.v, _mm512_set1_epi32(int(0xffff0000u))) : _mm512_slli_epi32(a.v, 16)});
}
/** From int32. */
LONGHAUL_HD F32x16 to_floats(Words16 a) { return {_mm512_cvtepi32_ps(a.v)}; }
/** Byte `byte` of each word as a float. */
LONGHAUL_HD F32x16 byte_to_floats(Words16 a, int byte) {
  const __m512i shifted = _mm512_srl_epi32(a.v, _mm_cvtsi32_si128(8 * byte));
  return {_mm512_cvtepi32_ps(_mm512_and_si512(shifted, _mm512_set1_epi32(255)))};
}

#if defined(__AVX512BF16__)
LONGHAUL_HD F32x16 dot_bf16(F32x16 acc, Words16 w, Words16 x) {
  return {_mm512_dpbf16_ps(acc.v, (__m512bh)w.v, (__m512bh)x.v)};
}
/** vdpbf16ps flushes by itself. */
struct FlushSubnormals {};
#else
LONGHAUL_HD F32x16 dot_bf16(F32x16 acc, Words16 w, Words16 x) {
  const __m512i odd = _mm512_set1_epi32(int(0xffff0000u));
  const auto f = [](__m512i a) { return _mm512_castsi512_ps(a); };
  acc.v = _mm512_fmadd_ps(f(_mm512_and_si512(w.v, odd)), f(_mm512_and_si512(x.v, odd)), acc.v);
  return {_mm512_fmadd_ps(f(_mm512_slli_epi32(w.v, 16)), f(_mm512_slli_epi32(x.v, 16)), acc.v)};
}
/** dot_bf16 needs subnormal results flushed to zero. */
struct FlushSubnormals {
  const unsigned saved = _mm_getcsr();
  FlushSubnormals() { _mm_setcsr(saved | 0x8040); }
  ~FlushSubnormals() { _mm_setcsr(saved); }
};
#endif

#if defined(__AVX512VNNI__)
// The intrinsic makes GCC 12 copy every accumulator twice.
LONGHAUL_HD Words16 dot_u8s8(Words16 acc, Words16 w, Words16 x) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(acc.v) : "v"(w.v), "v"(x.v));
  return acc;
}
#else
// Even and odd bytes apart as 16 bits: vpmaddubsw would saturate.
LONGHAUL_HD Words16 dot_u8s8(Words16 acc, Words16 w, Words16 x) {
  const __m512i even_w = _mm512_and_si512(w.v, _mm512_set1_epi16(255)), odd_w = _mm512_srli_epi16(w.v, 8);
  const __m512i even_x = _mm512_srai_epi16(_mm512_slli_epi16(x.v, 8), 8), odd_x = _mm512_srai_epi16(x.v, 8);
  return {_mm512_add_epi32(acc.v, _mm512_add_epi32(_mm512_madd_epi16(even_w, even_x), _mm512_madd_epi16(odd_w, odd_x)))};
}
#endif

/** A table of sixteen bytes, looked up by nibbles. */
struct ByteTable {
  __m512i v;
};
LONGHAUL_HD ByteTable load_table(const uint8_t* p) {
  return {_mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
/** table[nibble] for the low (0) or high (1) nibble of every byte. */
LONGHAUL_HD Words16 look_up(ByteTable t, Words16 a, int high) {
  const __m512i index = high ? _mm512_srli_epi16(a.v, 4) : a.v;
  return {_mm512_shuffle_epi8(t.v, _mm512_and_si512(index, _mm512_set1_epi8(15)))};
}
/** table[(word >> shift) & 15] */
LONGHAUL_HD F32x16 look_up(F32x16 t, Words16 a, int shift) {
  return {_mm512_permutexvar_ps(_mm512_srl_epi32(a.v, _mm_cvtsi32_si128(shift)), t.v)};
}

}  // namespace longhaul::cpu::LONGHAUL_ISA

template <>
struct longhaul::math::Lanes<longhaul::cpu::LONGHAUL_ISA::F32x16> {
  LONGHAUL_HD longhaul::cpu::LONGHAUL_ISA::F32x16 set1(float x) { return longhaul::cpu::LONGHAUL_ISA::broadcast(x); }
};
