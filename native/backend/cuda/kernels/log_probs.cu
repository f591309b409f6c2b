// log softmax(logits)[target] and the most likely tokens of each row, a block a row. The logits stay where they are: one pass
// for the maximum, one for the sum, one for each alternative. The target's entry is the same number as its log-probability.
#include <cmath>

#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/reduce.h"

namespace longhaul::cuda {
namespace {

constexpr int kLogThreads = 512;

struct LogProbs {
  using Args = LogProbsArgs;
  struct Shared {
    ReduceShared<kLogThreads> reduce;
    float values[kLogThreads / 32];
    int ids[kLogThreads / 32];
  };
  static constexpr int kThreads = kLogThreads;
  static constexpr const char* kName = "log_probs";

  /** (a, i) is before (b, j): larger, or equal and of a lower id; i < 0 is nothing. */
  static __device__ bool before(float a, int i, float b, int j) { return i >= 0 && (j < 0 || a > b || (a == b && i < j)); }

  static __device__ void run(Shared& shared, const Args& a) {
    const int target = a.targets[block_x()];
    if (target < 0) return;
    const float* const z = a.logits + size_t(block_x()) * a.ld;
    float top = -INFINITY;
    for (int i = thread_id(); i < a.vocab; i += kThreads) top = larger(z[i], top);
    top = reduce_block<kThreads>(shared.reduce, top, Larger());
    float sum = 0.0f;
    for (int i = thread_id(); i < a.vocab; i += kThreads) sum = add(sum, exp2_fast(multiply(add(z[i], -top), kLog2OfE)));
    sum = reduce_block<kThreads>(shared.reduce, sum, Plus());
    const float log_sum = multiply(kLn2, log2_fast(sum));
    if (thread_id() == 0) a.logprob[block_x()] = add(add(z[target], -top), -log_sum);

    // Each round: the best that comes after the last one.
    float last = INFINITY;
    int last_id = -1;
    const int wanted = a.tops[block_x()];
    for (int round = 0; round < wanted; ++round) {
      float best = 0.0f;
      int id = -1;
      for (int i = thread_id(); i < a.vocab; i += kThreads)
        if (z[i] == z[i] && (last_id < 0 || before(last, last_id, z[i], i)) && before(z[i], i, best, id)) {
          best = z[i];
          id = i;
        }
      LONGHAUL_UNROLL
      for (int mask = 16; mask > 0; mask /= 2) {
        const float other = shuffle_xor(best, mask);
        const int other_id = shuffle_xor(id, mask);
        if (before(other, other_id, best, id)) {
          best = other;
          id = other_id;
        }
      }
      if (thread_id() % 32 == 0) {
        shared.values[thread_id() / 32] = best;
        shared.ids[thread_id() / 32] = id;
      }
      sync_block();
      for (int warp = 0; warp < kThreads / 32; ++warp)
        if (before(shared.values[warp], shared.ids[warp], best, id)) {
          best = shared.values[warp];
          id = shared.ids[warp];
        }
      sync_block();
      if (thread_id() == 0) {
        a.best_ids[block_x() * kMaxTop + round] = id;
        a.best_logprobs[block_x() * kMaxTop + round] = id < 0 ? 0.0f : add(add(best, -top), -log_sum);
      }
      if (id < 0) return;
      last = best;
      last_id = id;
    }
  }
};

}  // namespace

void log_probs(Stream& stream, const LogProbsArgs& args, int rows) { launch<LogProbs>(stream, {rows}, args); }

}  // namespace longhaul::cuda
