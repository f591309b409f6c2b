// F32x16 in plain C++: the readable reference, and the only one outside x86-64.
#pragma once

#include "backend/math/convert.h"
#include "backend/math/scalar.h"

namespace longhaul::cpu::LONGHAUL_ISA {

struct F32x16 {
  float v[16];
};

#define LONGHAUL_EACH_LANE(expression)                  \
  F32x16 out;                                           \
  for (int i = 0; i < 16; ++i) out.v[i] = (expression); \
  return out

LONGHAUL_HD F32x16 load(const float* p) { LONGHAUL_EACH_LANE(p[i]); }
LONGHAUL_HD void store(float* p, F32x16 a) {
  for (int i = 0; i < 16; ++i) p[i] = a.v[i];
}
LONGHAUL_HD F32x16 broadcast(float x) { LONGHAUL_EACH_LANE(x); }
/** Sixteen bf16 values, widened exactly. */
LONGHAUL_HD F32x16 load(const uint16_t* p) { LONGHAUL_EACH_LANE(math::bits_float(int32_t(uint32_t(p[i]) << 16))); }

LONGHAUL_HD F32x16 operator+(F32x16 a, F32x16 b) { LONGHAUL_EACH_LANE(a.v[i] + b.v[i]); }
LONGHAUL_HD F32x16 operator-(F32x16 a, F32x16 b) { LONGHAUL_EACH_LANE(a.v[i] - b.v[i]); }
LONGHAUL_HD F32x16 operator*(F32x16 a, F32x16 b) { LONGHAUL_EACH_LANE(a.v[i] * b.v[i]); }
LONGHAUL_HD F32x16 operator/(F32x16 a, F32x16 b) { LONGHAUL_EACH_LANE(a.v[i] / b.v[i]); }
LONGHAUL_HD F32x16 fma(F32x16 a, F32x16 b, F32x16 c) { LONGHAUL_EACH_LANE(math::fma(a.v[i], b.v[i], c.v[i])); }
LONGHAUL_HD F32x16 max(F32x16 a, F32x16 b) { LONGHAUL_EACH_LANE(math::max(a.v[i], b.v[i])); }
LONGHAUL_HD F32x16 min(F32x16 a, F32x16 b) { LONGHAUL_EACH_LANE(math::min(a.v[i], b.v[i])); }
LONGHAUL_HD F32x16 select_gt(F32x16 a, F32x16 b, F32x16 yes, F32x16 no) {
  LONGHAUL_EACH_LANE(math::select_gt(a.v[i], b.v[i], yes.v[i], no.v[i]));
}
LONGHAUL_HD F32x16 shift_exponent(F32x16 p, F32x16 t) { LONGHAUL_EACH_LANE(math::shift_exponent(p.v[i], t.v[i])); }
LONGHAUL_HD F32x16 split_exponent(F32x16 x, F32x16& e) { LONGHAUL_EACH_LANE(math::split_exponent(x.v[i], e.v[i])); }

LONGHAUL_HD F32x16 load_f16(const uint16_t* p) { LONGHAUL_EACH_LANE(math::from_f16(p[i])); }

#undef LONGHAUL_EACH_LANE

struct Words16 {
  uint32_t v[16];
};
#define LONGHAUL_EACH_WORD(type, expression)            \
  type out;                                             \
  for (int i = 0; i < 16; ++i) out.v[i] = (expression); \
  return out

LONGHAUL_HD Words16 load_words(const void* p) {
  Words16 out;
  memcpy(out.v, p, 64);
  return out;
}
LONGHAUL_HD void store_words(void* p, Words16 a) { memcpy(p, a.v, 64); }
LONGHAUL_HD Words16 broadcast_word(uint32_t x) { LONGHAUL_EACH_WORD(Words16, x); }
LONGHAUL_HD F32x16 as_floats(Words16 a) { LONGHAUL_EACH_WORD(F32x16, math::bits_float(int32_t(a.v[i]))); }
/** The lower (0) or upper (1) bf16 of each word. */
LONGHAUL_HD F32x16 widen_bf16(Words16 a, int upper) {
  LONGHAUL_EACH_WORD(F32x16, math::bits_float(int32_t(upper ? a.v[i] & 0xffff0000u : a.v[i] << 16)));
}
/** From int32. */
LONGHAUL_HD F32x16 to_floats(Words16 a) { LONGHAUL_EACH_WORD(F32x16, float(int32_t(a.v[i]))); }
/** Byte `byte` of each word as a float. */
LONGHAUL_HD F32x16 byte_to_floats(Words16 a, int byte) { LONGHAUL_EACH_WORD(F32x16, float(a.v[i] >> 8 * byte & 255)); }

LONGHAUL_HD float flush(float x) { return __builtin_fabsf(x) < 0x1p-126f ? x * 0.0f : x; }
LONGHAUL_HD float dot_bf16(float acc, uint32_t w, uint32_t x) {
  const auto high = [](uint32_t a) { return math::bits_float(int32_t(a & 0xffff0000u)); };
  acc = flush(math::fma(flush(high(w)), flush(high(x)), acc));
  return flush(math::fma(flush(high(w << 16)), flush(high(x << 16)), acc));
}
LONGHAUL_HD F32x16 dot_bf16(F32x16 acc, Words16 w, Words16 x) {
  LONGHAUL_EACH_WORD(F32x16, dot_bf16(acc.v[i], w.v[i], x.v[i]));
}
LONGHAUL_HD uint32_t dot_u8s8(uint32_t acc, uint32_t w, uint32_t x) {
  int32_t sum = 0;
  for (int b = 0; b < 4; ++b) sum += int32_t(w >> 8 * b & 255) * int8_t(x >> 8 * b & 255);
  return acc + uint32_t(sum);
}
LONGHAUL_HD Words16 dot_u8s8(Words16 acc, Words16 w, Words16 x) {
  LONGHAUL_EACH_WORD(Words16, dot_u8s8(acc.v[i], w.v[i], x.v[i]));
}

/** A table of sixteen bytes, and of sixteen floats, looked up by nibbles. */
struct ByteTable {
  uint8_t v[16];
};
LONGHAUL_HD ByteTable load_table(const uint8_t* p) {
  ByteTable out;
  memcpy(out.v, p, 16);
  return out;
}
/** table[nibble] for the low (0) or high (1) nibble of every byte. */
LONGHAUL_HD Words16 look_up(ByteTable t, Words16 a, int high) {
  Words16 out;
  for (int i = 0; i < 16; ++i) {
    out.v[i] = 0;
    for (int b = 0; b < 4; ++b) out.v[i] |= uint32_t(t.v[a.v[i] >> (8 * b + 4 * high) & 15]) << 8 * b;
  }
  return out;
}
/** table[(word >> shift) & 15] */
LONGHAUL_HD F32x16 look_up(F32x16 t, Words16 a, int shift) { LONGHAUL_EACH_WORD(F32x16, t.v[a.v[i] >> shift & 15]); }

#undef LONGHAUL_EACH_WORD

/** Whatever must be set while dot_bf16 runs: nothing here. */
struct FlushSubnormals {};

}  // namespace longhaul::cpu::LONGHAUL_ISA

template <>
struct longhaul::math::Lanes<longhaul::cpu::LONGHAUL_ISA::F32x16> {
  LONGHAUL_HD longhaul::cpu::LONGHAUL_ISA::F32x16 set1(float x) { return longhaul::cpu::LONGHAUL_ISA::broadcast(x); }
};
