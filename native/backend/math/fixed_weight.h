// Sums that do not depend on their order: weights in (0, 1] as whole multiples of 2^-44.
#pragma once

#include "backend/math/hd.h"

#include <cstdint>

namespace longhaul::math {

/** Rounded down; a million of them add up without overflow. */
LONGHAUL_HD uint64_t fixed_weight(float weight) { return uint64_t(weight * 0x1p44f); }
LONGHAUL_HD double from_fixed(uint64_t sum) { return double(sum) * 0x1p-44; }

}  // namespace longhaul::math
