// Log-probability of one target per row.
//
//   out[t] = (z[t,target] - m) - ln(sum_v exp(z[t,v] - m))      m = max_v z[t,v]
//
// z (rows, vocab). Lanes run over the vocabulary; sums are kept per lane for runs of 64 vectors, then added up, and the
// lanes are reduced in one fixed tree. Memory-bound.
#include "backend/cpu/ops/kernels.h"
#include "backend/math/exp_log.h"

namespace longhaul::cpu::LONGHAUL_ISA {
namespace {

// Low enough to add nothing, finite so that no NaN arises.
constexpr float kNothing = -3.0e38f;

F32x16 vector_at(const float* z, int i, int vocab) {
  return i + 16 <= vocab ? load(z + i) : load_partial(z + i, vocab - i, kNothing);
}

}  // namespace

void log_probs(Rows logits, int vocab, const int32_t* targets, float* out, int row_begin, int row_end) {
  for (int row = row_begin; row < row_end; ++row) {
    if (targets[row] < 0) continue;
    const float* z = logits.data + size_t(row) * logits.ld;
    F32x16 top = broadcast(kNothing);
    for (int i = 0; i < vocab; i += 16) top = max(top, vector_at(z, i, vocab));
    const float m = reduce_max(top);
    F32x16 sum = broadcast(0.0f);
    for (int run = 0; run < vocab; run += 16 * 64) {
      const int end = run + 16 * 64 < vocab ? run + 16 * 64 : vocab;
      F32x16 part = broadcast(0.0f);
      for (int i = run; i < end; i += 16) part = part + math::exp(vector_at(z, i, vocab) - broadcast(m));
      sum = sum + part;
    }
    out[row] = (z[targets[row]] - m) - math::log(reduce_add(sum));
  }
}

}  // namespace longhaul::cpu::LONGHAUL_ISA
