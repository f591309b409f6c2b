// Passes over a whole row of logits, written so that compilers vectorize them; the same bits on every processor.
#pragma once

#include <cstdint>
#include <vector>

namespace longhaul {

/** A run of values falls into kStride strided groups of kRun / kStride each. */
constexpr int kStride = 16, kRun = 512;

/** maxima[run * kStride + g]: the largest of z[run * kRun + g + kStride * j]. False where a value is not a number. */
bool strided_maxima(const float* z, int n, std::vector<float>& maxima);

/** z = (z - shift) / divisor */
void scale(float* z, int n, float shift, float divisor);

/** x = e^x, as math::exp */
void exp_all(float* x, int n);

/** The sum of e^z in whole multiples of 2^-44 (math/fixed_weight.h): the same in any order. */
uint64_t sum_exp(const float* z, int n);

}  // namespace longhaul
