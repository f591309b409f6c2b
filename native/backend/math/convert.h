// Upcasts of stored weights to fp32, which are exact, and rounding to bf16.
#pragma once

#include "backend/backend.h"
#include "backend/math/fp8.h"
#include "backend/math/scalar.h"

namespace longhaul::math {

LONGHAUL_HD float from_bf16(uint16_t x) { return bits_float(int32_t(uint32_t(x) << 16)); }

LONGHAUL_HD float from_f16(uint16_t x) {
  const uint32_t sign = uint32_t(x & 0x8000) << 16;
  const uint32_t exponent = (x >> 10) & 31;
  const uint32_t mantissa = x & 1023;
  // Subnormal: mantissa * 2^-24, exact in fp32.
  if (exponent == 0) return bits_float(int32_t(uint32_t(float_bits(float(mantissa) * 0x1p-24f)) | sign));
  // A NaN becomes quiet, as the instructions make it.
  if (exponent == 31) return bits_float(int32_t(sign | 0x7f800000u | mantissa << 13 | (mantissa ? 0x400000u : 0)));
  return bits_float(int32_t(sign | (exponent + 112) << 23 | mantissa << 13));
}

/** Rounded to nearest even; a NaN stays one. */
LONGHAUL_HD uint16_t to_bf16(float x) {
  const uint32_t bits = uint32_t(float_bits(x));
  if (x != x) return 0x7fff;
  return uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/** Element i of an f32, f16 or bf16 array. */
LONGHAUL_HD float element(const void* data, Dtype dtype, size_t i) {
  if (dtype == Dtype::f32) {
    float x;
    memcpy(&x, static_cast<const char*>(data) + 4 * i, 4);
    return x;
  }
  uint16_t x;
  memcpy(&x, static_cast<const char*>(data) + 2 * i, 2);
  return dtype == Dtype::bf16 ? from_bf16(x) : from_f16(x);
}

/** W[row, col], rounded once to fp32. */
LONGHAUL_HD float element(const HostMatrix& m, size_t row, size_t col) {
  const size_t i = row * m.cols + col;
  if (m.dtype == Dtype::int8) return float(static_cast<const int8_t*>(m.data)[i]) * m.scales[row];
  if (m.dtype == Dtype::fp8) return from_e4m3(static_cast<const uint8_t*>(m.data)[i]) * m.scales[row];
  if (m.dtype != Dtype::code4) return element(m.data, m.dtype, i);
  const uint8_t pair = static_cast<const uint8_t*>(m.data)[i / 2];
  return m.code[i % 2 ? pair & 15 : pair >> 4] * m.scales[i / m.block_size];
}

}  // namespace longhaul::math
