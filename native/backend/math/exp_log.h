// exp2, exp, log and log1p from fma alone, so that every instruction set yields the same bits.
//
// Errors, measured by test/ops_test.cpp over their domains: exp2, exp, log <= 1 ulp, log1p <= 2 ulp.
// NaN propagates; results that would be subnormal saturate at about 1e-38, which no caller can tell from zero.
#pragma once

#include "backend/math/scalar.h"

namespace longhaul::math {

/** 1.5 * 2^23: adding it rounds to the nearest integer and leaves that integer in the low mantissa bits. */
constexpr float kRoundMagic = 12582912.0f;

/** 2^x for x <= 127; x below -126 counts as -126. Minimax polynomial of degree 6 on [-1/2, 1/2]. */
template <class V>
LONGHAUL_HD V exp2(V x) {
  using L = Lanes<V>;
  x = max(L::set1(-126.0f), x);
  const V t = x + L::set1(kRoundMagic);
  const V r = x - (t - L::set1(kRoundMagic));
  V p = L::set1(1.535336341e-04f);
  p = fma(p, r, L::set1(1.339887385e-03f));
  p = fma(p, r, L::set1(9.618436918e-03f));
  p = fma(p, r, L::set1(5.550332367e-02f));
  p = fma(p, r, L::set1(2.402264774e-01f));
  p = fma(p, r, L::set1(6.931471825e-01f));
  p = fma(p, r, L::set1(1.0f));
  return shift_exponent(p, t);
}

/** e^x; x counts as at least -87 and at most 88. */
template <class V>
LONGHAUL_HD V exp(V x) {
  using L = Lanes<V>;
  x = max(L::set1(-87.0f), x);
  x = min(L::set1(88.0f), x);
  const V t = fma(x, L::set1(1.44269504f), L::set1(kRoundMagic));
  const V n = t - L::set1(kRoundMagic);
  V r = fma(n, L::set1(-0.693359375f), x);
  r = fma(n, L::set1(2.12194440e-4f), r);
  V p = L::set1(1.9875691500e-4f);
  p = fma(p, r, L::set1(1.3981999507e-3f));
  p = fma(p, r, L::set1(8.3334519073e-3f));
  p = fma(p, r, L::set1(4.1665795894e-2f));
  p = fma(p, r, L::set1(1.6666665459e-1f));
  p = fma(p, r, L::set1(5.0000001201e-1f));
  p = fma(p, r * r, r) + L::set1(1.0f);
  return shift_exponent(p, t);
}

/** ln x for a positive normal x. */
template <class V>
LONGHAUL_HD V log(V x) {
  using L = Lanes<V>;
  V e;
  const V f = split_exponent(x, e) - L::set1(1.0f);
  const V z = f * f;
  V p = L::set1(7.0376836292e-2f);
  p = fma(p, f, L::set1(-1.1514610310e-1f));
  p = fma(p, f, L::set1(1.1676998740e-1f));
  p = fma(p, f, L::set1(-1.2420140846e-1f));
  p = fma(p, f, L::set1(1.4249322787e-1f));
  p = fma(p, f, L::set1(-1.6668057665e-1f));
  p = fma(p, f, L::set1(2.0000714765e-1f));
  p = fma(p, f, L::set1(-2.4999993993e-1f));
  p = fma(p, f, L::set1(3.3333331174e-1f));
  V y = p * f * z;
  y = fma(e, L::set1(-2.12194440e-4f), y);
  y = fma(z, L::set1(-0.5f), y);
  return fma(e, L::set1(0.693359375f), f + y);
}

/** ln(1 + x) for x in [0, 1]: the rounding of 1 + x is corrected to first order. */
template <class V>
LONGHAUL_HD V log1p(V x) {
  const V one = Lanes<V>::set1(1.0f);
  const V u = one + x;
  return log(u) + (x - (u - one)) / u;
}

}  // namespace longhaul::math
