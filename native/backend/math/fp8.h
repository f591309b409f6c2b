// e4m3: a sign, four bits of exponent with bias 7, three of mantissa; no infinity, one NaN each sign, at most 448 (OCP 8-bit
// floating point, 2023).
#pragma once

#include "backend/math/scalar.h"

namespace longhaul::math {

constexpr float kMostE4m3 = 448.0f;

/** Exact. */
LONGHAUL_HD float from_e4m3(uint8_t x) {
  if ((x & 0x7f) == 0x7f) return bits_float(int32_t(uint32_t(x & 0x80) << 24 | 0x7fc00000u));
  // The same fields in an fp32 have a bias of 127 in place of 7, subnormals included.
  return bits_float(int32_t(uint32_t(x & 0x80) << 24 | uint32_t(x & 0x7f) << 20)) * 0x1p120f;
}

/** Rounded to nearest even; beyond the largest number it is that number. A NaN stays one. */
LONGHAUL_HD uint8_t to_e4m3(float x) {
  const uint32_t bits = uint32_t(float_bits(x)), sign = bits >> 24 & 0x80u, magnitude = bits & 0x7fffffffu;
  if (x != x) return uint8_t(sign | 0x7fu);
  if (magnitude >= uint32_t(float_bits(kMostE4m3))) return uint8_t(sign | 0x7eu);
  if (magnitude < uint32_t(float_bits(0x1p-6f))) {
    // Subnormal, in units of 2^-9: this sum has no bits below one, and rounds as it should.
    const float sum = bits_float(int32_t(magnitude)) * 512.0f + 8388608.0f;
    return uint8_t(sign | (uint32_t(float_bits(sum)) & 0xffu));
  }
  const uint32_t rounded = magnitude + 0x7ffffu + (magnitude >> 20 & 1u);
  return uint8_t(sign | ((rounded >> 20) - (120u << 3)));
}

}  // namespace longhaul::math
