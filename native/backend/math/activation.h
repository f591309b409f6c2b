// silu and softplus on V = float or F32x16.
#pragma once

#include "backend/math/exp_log.h"

namespace longhaul::math {

/** x / (1 + e^-x) */
template <class V>
LONGHAUL_HD V silu(V x) {
  using L = Lanes<V>;
  return x / (L::set1(1.0f) + exp(L::set1(0.0f) - x));
}

/** ln(1 + e^x), the identity above 20 (torch's threshold); computed as max(x, 0) + ln(1 + e^-|x|). */
template <class V>
LONGHAUL_HD V softplus(V x) {
  using L = Lanes<V>;
  const V zero = L::set1(0.0f);
  const V positive = max(zero, x);
  const V magnitude = select_gt(x, zero, x, zero - x);
  const V y = positive + log1p(exp(zero - magnitude));
  return select_gt(x, L::set1(20.0f), x, y);
}

}  // namespace longhaul::math
