// What a draw needs of a row of logits: the best id, the sum of all weights, and every candidate above a floor.
//
//   v = logits + bias, then divided (v > 0) or multiplied by the repetition penalty, for the ids that are named
//   z = (v - max v) / temperature        total = sum e^z, in whole multiples of 2^-44
//   candidates: all ids with z >= the `wanted`-th largest of the threads' own maxima
//
// A block a row. A thread sees the same values in both passes, so at least `wanted` of them reach the floor, and few more as
// long as the best are spread; none that reaches it is left out, so the list begins the ranking of the whole row. All numbers
// are those that engine/sampler.cpp computes, bit for bit; the list is in no order. The row is left as it was found.
// Two passes over the row, which lies in the second-level cache.
#include <cmath>

#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/reduce.h"
#include "backend/math/exp_log.h"
#include "backend/math/fixed_weight.h"

namespace longhaul::cuda {
namespace {

constexpr int kShortThreads = 1024;

/** Unsigned integers in the order of the floats. */
LONGHAUL_DEVICE uint32_t key_of(float x) {
  const uint32_t bits = bits_of(x);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
LONGHAUL_DEVICE float of_key(uint32_t key) { return float_of(key & 0x80000000u ? key & 0x7fffffffu : ~key); }

struct CutShort {
  using Args = ShortlistArgs;
  struct Shared {
    BestShared<kShortThreads> best;
    uint64_t totals[kShortThreads / 32];
    int count;
  };
  static constexpr int kThreads = kShortThreads;
  static constexpr const char* kName = "shortlist";

  static __device__ void run(Shared& shared, const Args& a) {
    const ShortlistSpec spec = a.specs[block_x()];
    float* const row = a.logits + size_t(spec.row) * a.ld;
    for (int e = spec.edits_begin + thread_id(); e < spec.edits_end; e += kThreads) {
      const LogitEdit edit = a.edits[e];
      const float before = row[edit.id], v = add(before, edit.bias);
      a.saved[e] = before;
      row[edit.id] = !edit.penalized ? v : v > 0.0f ? divide(v, spec.penalty) : multiply(v, spec.penalty);
    }
    if (thread_id() == 0) shared.count = 0;
    sync_block();

    Best mine{-INFINITY, -1};
    bool number = true;
    each(row, a.vocab, [&](float v, int id) {
      number = number && v == v;
      if (v > mine.value) mine = {v, id};
    });
    const bool numbers = count_block(number) == kThreads;
    const Best best = best_of_block<kThreads>(shared.best, mine);
    const bool finite = numbers && best.id >= 0 && best.value < INFINITY;
    uint64_t total = 0;
    if (finite && spec.temperature > 0.0f) {
      const float floor = scaled(wanted_largest(mine.value, spec.wanted), best.value, spec.temperature);
      const size_t list = size_t(block_x()) * kMostShort;
      each(row, a.vocab, [&](float v, int id) {
        const float z = scaled(v, best.value, spec.temperature);
        total += math::fixed_weight(math::exp(z));
        if (!(z >= floor)) return;
        const int at = atomic_add(&shared.count, 1);
        if (at >= kMostShort) return;
        a.ids[list + at] = id;
        a.z[list + at] = z;
      });
      total = sum_of_block(shared, total);
    }
    sync_block();
    for (int e = spec.edits_begin + thread_id(); e < spec.edits_end; e += kThreads) row[a.edits[e].id] = a.saved[e];
    if (thread_id() == 0) a.found[block_x()] = {total, finite, best.id, shared.count <= kMostShort ? shared.count : 0};
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

  static __device__ float scaled(float v, float top, float temperature) { return divide(add(v, -top), temperature); }

  /** The n-th largest of the threads' values, n <= kThreads: bit by bit, the largest key that n of them reach. */
  static __device__ float wanted_largest(float mine, int n) {
    const uint32_t own = key_of(mine);
    uint32_t key = 0;
    for (int bit = 31; bit >= 0; --bit) {
      const uint32_t higher = key | 1u << bit;
      if (count_block(own >= higher) >= n) key = higher;
    }
    return of_key(key);
  }

  static __device__ uint64_t sum_of_block(Shared& shared, uint64_t v) {
    LONGHAUL_UNROLL
    for (int mask = 16; mask > 0; mask /= 2)
      v += uint64_t(uint32_t(shuffle_xor(int(uint32_t(v)), mask))) | uint64_t(uint32_t(shuffle_xor(int(uint32_t(v >> 32)), mask))) << 32;
    if (thread_id() % 32 == 0) shared.totals[thread_id() / 32] = v;
    sync_block();
    uint64_t all = 0;
    for (int warp = 0; warp < kThreads / 32; ++warp) all += shared.totals[warp];
    return all;
  }
};

}  // namespace

void shortlist(Stream& stream, const ShortlistArgs& args, int rows) { launch<CutShort>(stream, {rows}, args); }

}  // namespace longhaul::cuda
