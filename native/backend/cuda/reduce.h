// Sums and maxima over a block, in an order that depends on the number of threads alone. All threads get the result.
#pragma once

#include "backend/cuda/device.h"

namespace longhaul::cuda {

template <int kThreads>
struct ReduceShared {
  float warps[kThreads / 32];
};

template <int kThreads, class Combine>
LONGHAUL_DEVICE float reduce_block(ReduceShared<kThreads>& shared, float v, const Combine& combine) {
  LONGHAUL_UNROLL
  for (int mask = 16; mask > 0; mask /= 2) v = combine(v, shuffle_xor(v, mask));
  if (thread_id() % 32 == 0) shared.warps[thread_id() / 32] = v;
  sync_block();
  float all = shared.warps[0];
  LONGHAUL_UNROLL
  for (int warp = 1; warp < kThreads / 32; ++warp) all = combine(all, shared.warps[warp]);
  sync_block();
  return all;
}

struct Plus {
  __device__ float operator()(float a, float b) const { return add(a, b); }
};
struct Larger {
  __device__ float operator()(float a, float b) const { return larger(a, b); }
};

/** A value and its id; id < 0 is nothing. */
struct Best {
  float value;
  int id;
};
/** Larger, or equal and of a lower id. */
LONGHAUL_DEVICE bool before(const Best& a, const Best& b) {
  return a.id >= 0 && (b.id < 0 || a.value > b.value || (a.value == b.value && a.id < b.id));
}

template <int kThreads>
struct BestShared {
  Best warps[kThreads / 32];
};

/** The first of all threads' by `before`; all threads get it. */
template <int kThreads>
LONGHAUL_DEVICE Best best_of_block(BestShared<kThreads>& shared, Best mine) {
  LONGHAUL_UNROLL
  for (int mask = 16; mask > 0; mask /= 2) {
    const Best other{shuffle_xor(mine.value, mask), shuffle_xor(mine.id, mask)};
    if (before(other, mine)) mine = other;
  }
  if (thread_id() % 32 == 0) shared.warps[thread_id() / 32] = mine;
  sync_block();
  for (int warp = 0; warp < kThreads / 32; ++warp)
    if (before(shared.warps[warp], mine)) mine = shared.warps[warp];
  sync_block();
  return mine;
}

}  // namespace longhaul::cuda
