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

}  // namespace longhaul::cuda
