// log softmax(logits)[target] and the most likely tokens of each row, a block a row.
//
//   m, s = max z, sum e^(z - m)      in one pass: a thread's own maximum and sum, rescaled where the maximum grows, then a
//                                    tree over the block, in an order that the number of threads alone decides
//   log-probability = (z - m) - ln s
//
// In the same pass every thread finds the best of its own values; each alternative is the best of these, and only the thread
// that had it looks through its values again. The target's entry is the same number as its log-probability. Memory-bound.
#include <cmath>

#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/reduce.h"

namespace longhaul::cuda {
namespace {

constexpr int kLogThreads = 512;

struct LogProbs {
  using Args = LogProbsArgs;
  /** A maximum and the sum of e^(z - maximum). */
  struct Sum {
    float top, sum;
  };
  struct Shared {
    Sum warps[kLogThreads / 32];
    BestShared<kLogThreads> best;
  };
  static constexpr int kThreads = kLogThreads;
  static constexpr const char* kName = "log_probs";

  static __device__ float power(float x) { return exp2_fast(multiply(x, kLog2OfE)); }

  static __device__ Sum together(Sum a, Sum b) {
    const float top = larger(a.top, b.top);
    const float left = a.top == -INFINITY ? 0.0f : power(add(a.top, -top)), right = b.top == -INFINITY ? 0.0f : power(add(b.top, -top));
    return {top, add(multiply(a.sum, left), multiply(b.sum, right))};
  }

  /** Calls f(value, id) for this thread's part of the row, ids ascending. */
  template <class Call>
  static __device__ void each(const float* row, int vocab, const Call& f) {
    for (int i = 4 * thread_id(); i < vocab; i += 4 * kThreads) {
      const Float4 v = *reinterpret_cast<const Float4*>(row + i);
      f(v.x, i);
      if (i + 1 < vocab) f(v.y, i + 1);
      if (i + 2 < vocab) f(v.z, i + 2);
      if (i + 3 < vocab) f(v.w, i + 3);
    }
  }

  static __device__ void run(Shared& shared, const Args& a) {
    const int target = a.targets[block_x()];
    if (target < 0) return;
    const float* const row = a.logits + size_t(block_x()) * a.ld;
    Sum all{-INFINITY, 0.0f};
    Best mine{0.0f, -1};
    each(row, a.vocab, [&](float z, int id) {
      if (z > all.top)
        all = {z, add(multiply(all.sum, power(add(all.top, -z))), 1.0f)};
      else if (z != -INFINITY)  // NaN stays
        all.sum = add(all.sum, power(add(z, -all.top)));
      if (z == z && before({z, id}, mine)) mine = {z, id};
    });
    all = of_block(shared, all);
    const float log_sum = multiply(kLn2, log2_fast(all.sum));
    const auto logprob = [&](float z) { return add(add(z, -all.top), -log_sum); };
    if (thread_id() == 0) a.logprob[block_x()] = logprob(row[target]);

    const int wanted = a.tops[block_x()];
    for (int round = 0; round < wanted; ++round) {
      const Best best = best_of_block<kThreads>(shared.best, mine);
      if (best.id < 0) return;
      if (thread_id() == 0) {
        a.best_ids[block_x() * kMaxTop + round] = best.id;
        a.best_logprobs[block_x() * kMaxTop + round] = logprob(best.value);
      }
      if (best.id != mine.id) continue;
      mine = {0.0f, -1};
      each(row, a.vocab, [&](float z, int id) {
        if (z == z && before(best, {z, id}) && before({z, id}, mine)) mine = {z, id};
      });
    }
  }

  static __device__ Sum of_block(Shared& shared, Sum v) {
    LONGHAUL_UNROLL
    for (int mask = 16; mask > 0; mask /= 2) v = together(v, {shuffle_xor(v.top, mask), shuffle_xor(v.sum, mask)});
    if (thread_id() % 32 == 0) shared.warps[thread_id() / 32] = v;
    sync_block();
    Sum all = shared.warps[0];
    for (int warp = 1; warp < kThreads / 32; ++warp) all = together(all, shared.warps[warp]);
    return all;
  }
};

}  // namespace

void log_probs(Stream& stream, const LogProbsArgs& args, int rows) { launch<LogProbs>(stream, {rows}, args); }

}  // namespace longhaul::cuda
