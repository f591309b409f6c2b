// One (channel, state) cell of the selective scan, the same on every backend.
#pragma once

#include "backend/math/exp_log.h"

namespace longhaul::math {

/** log2(e), folded into A at load so that the recurrence needs exp2 only. */
constexpr double kLog2E = 1.44269504088896340736;

/**
 *   h <- exp2(delta A') h + (delta u) B        A' = A log2(e), A = -exp(A_log)
 *   y <- y + h C                               with the updated h
 */
template <class V>
LONGHAUL_HD void scan_step(V& h, V& y, V delta, V delta_u, V a_log2e, V b, V c) {
  h = fma(exp2(delta * a_log2e), h, delta_u * b);
  y = fma(h, c, y);
}

}  // namespace longhaul::math
