// F32x16 in plain C++: the readable reference, and the only one outside x86-64.
#pragma once

#include "backend/math/scalar.h"

namespace longhaul::cpu::portable {

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

#undef LONGHAUL_EACH_LANE

}  // namespace longhaul::cpu::portable

template <>
struct longhaul::math::Lanes<longhaul::cpu::portable::F32x16> {
  LONGHAUL_HD longhaul::cpu::portable::F32x16 set1(float x) { return longhaul::cpu::portable::broadcast(x); }
};
