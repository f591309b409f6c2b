// Log-probability of one target per row, and of the most likely ids.
//
//   out(v) = (z[t,v] - m) - ln(sum_v exp(z[t,v] - m))      m = max_v z[t,v]
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

/** The largest values offered so far, descending, the first offered before its equals. */
struct Best {
  int limit;
  int size = 0;
  float values[kMaxTop];
  int32_t ids[kMaxTop];

  explicit Best(int wanted) : limit(wanted) {}

  bool takes(float z) const { return size < limit ? z == z : z > values[limit - 1]; }
  void offer(float z, int32_t id) {
    if (!takes(z)) return;
    int at = size < limit ? size++ : limit - 1;
    for (; at > 0 && values[at - 1] < z; --at) {
      values[at] = values[at - 1];
      ids[at] = ids[at - 1];
    }
    values[at] = z;
    ids[at] = id;
  }
};

void find_best(const float* z, int vocab, Best& best) {
  constexpr int kRun = 16 * 8;
  for (int run = 0; run < vocab; run += kRun) {
    const int end = run + kRun < vocab ? run + kRun : vocab;
    if (best.size == best.limit) {
      F32x16 top = broadcast(kNothing);
      for (int i = run; i < end; i += 16) top = max(vector_at(z, i, vocab), top);
      if (!best.takes(reduce_max(top))) continue;
    }
    for (int i = run; i < end; ++i) best.offer(z[i], i);
  }
}

}  // namespace

void log_probs(Rows logits, int vocab, const ScoredRow* scored, int row_begin, int row_end) {
  for (int row = row_begin; row < row_end; ++row) {
    const ScoredRow& wanted = scored[row];
    if (wanted.target < 0) continue;
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
    const float log_sum = math::log(reduce_add(sum));
    *wanted.logprob = (z[wanted.target] - m) - log_sum;
    if (wanted.top == 0) continue;
    Best best(wanted.top);
    find_best(z, vocab, best);
    for (int i = 0; i < best.size; ++i) {
      wanted.top_ids[i] = best.ids[i];
      wanted.top_logprobs[i] = (best.values[i] - m) - log_sum;
    }
  }
}

}  // namespace longhaul::cpu::LONGHAUL_ISA
