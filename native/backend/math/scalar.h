// The vocabulary of backend/math for V = float. F32x16 offers the same names, lane by lane with the same bits.
#pragma once

#include <cstdint>
#include <cstring>

#include "backend/math/hd.h"

namespace longhaul::math {

template <class V>
struct Lanes;  // Lanes<V>::set1(float) makes a constant

template <>
struct Lanes<float> {
  LONGHAUL_HD float set1(float x) { return x; }
};

LONGHAUL_HD float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
// max and min return the second operand when either is NaN, as the x86 instructions do.
LONGHAUL_HD float max(float a, float b) { return a > b ? a : b; }
LONGHAUL_HD float min(float a, float b) { return a < b ? a : b; }
LONGHAUL_HD float select_gt(float a, float b, float yes, float no) { return a > b ? yes : no; }

LONGHAUL_HD int32_t float_bits(float x) {
  int32_t i;
  memcpy(&i, &x, 4);
  return i;
}
LONGHAUL_HD float bits_float(int32_t i) {
  float x;
  memcpy(&x, &i, 4);
  return x;
}

/** p * 2^n for t = n + 1.5 * 2^23: adds n to the exponent field of p. The result must be a normal number. */
LONGHAUL_HD float shift_exponent(float p, float t) {
  return bits_float(int32_t(uint32_t(float_bits(p)) + (uint32_t(float_bits(t)) << 23)));
}

/** x = m * 2^e with m in [sqrt(1/2), sqrt(2)), for a positive normal x. Returns m. */
LONGHAUL_HD float split_exponent(float x, float& e) {
  const int32_t i = int32_t(uint32_t(float_bits(x)) - 0x3f3504f3u);  // wraps for what is no positive number
  const int32_t n = i >> 23;
  e = float(n);
  return bits_float(int32_t(uint32_t(float_bits(x)) - (uint32_t(n) << 23)));
}

}  // namespace longhaul::math
