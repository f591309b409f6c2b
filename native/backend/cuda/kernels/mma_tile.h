// W x for a few rows of x on tensor cores: bf16, int8 or code4 weights, bf16 activations, fp32 sums; what becomes of a sum is
// the epilogue's.
//
// The weights are the 16-row operand and stream from memory once, straight into registers, as they are stored; x is the
// 8-column operand, padded with zeros. A block has 16 MT rows of W; its warps cut k into as many slices and add their sums
// up in order. Which k go into one instruction, the slices and that order are chosen by the shape of W alone, so a sum
// has the same bits however many rows share the call. Bound by reading W.
// sm_90a, bf16 weights: 69 registers for up to 8 rows, 94 up to 16, 124 up to 32, 186 beyond; no spills.
//
// An epilogue E names Args (a LinearArgs, or more), kName and store(args, row of W, token, sum).
#pragma once

#include "backend/cuda/kernels/weight_formats.h"
#include "backend/cuda/launch.h"

namespace longhaul::cuda {

/** One step along k of 16 MT rows of W by 8 NT tokens: what a lane holds of it. */
template <class F, int MT, int NT>
struct MmaStep {
  static constexpr int kValues = F::kBlock / 4, kWords = kValues / 2, kSteps = kValues / 4;
  typename F::Load w[MT][2];
  Quad x[NT][kWords / 4];

  /** The first k of this lane in the step that begins at k0. */
  static __device__ int lane_k(int k0) { return k0 + thread_id() % 4 * kValues; }

  /** Beyond the weight: any row and any k of it, to be multiplied by zeros, or never stored. */
  __device__ void load_weights(const WeightView& view, int first_row, int k0) {
    const int k = lane_k(k0);
    LONGHAUL_UNROLL
    for (int m = 0; m < MT; ++m)
      LONGHAUL_UNROLL
      for (int half = 0; half < 2; ++half) {
        const int row = first_row + m * 16 + half * 8 + thread_id() % 32 / 4;
        w[m][half] = F::load(view, row < view.n_out ? row : view.n_out - 1, k < view.n_in ? k : 0);
      }
  }

  __device__ void multiply(const WeightView& view, const F& format, int first_row, int k0, float (&sum)[MT][NT][4]) const {
    LONGHAUL_UNROLL
    for (int m = 0; m < MT; ++m) {
      uint32_t upper[kWords], lower[kWords];
      format.expand(w[m][0], upper);
      format.expand(w[m][1], lower);
      float scale[2] = {1.0f, 1.0f};
      if constexpr (F::kScaled) {
        LONGHAUL_UNROLL
        for (int half = 0; half < 2; ++half) {
          const int row = first_row + m * 16 + half * 8 + thread_id() % 32 / 4;
          scale[half] = view.scales[(size_t(row < view.n_out ? row : view.n_out - 1) * view.n_in + k0) / view.block_size];
        }
      }
      LONGHAUL_UNROLL
      for (int n = 0; n < NT; ++n) {
        float part[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        LONGHAUL_UNROLL
        for (int i = 0; i < kSteps; ++i) {
          const Quad& in = x[n][i / 2];
          const uint32_t words[4] = {upper[2 * i], lower[2 * i], upper[2 * i + 1], lower[2 * i + 1]};
          if constexpr (F::kScaled)
            mma(part, words, i % 2 ? in.z : in.x, i % 2 ? in.w : in.y);
          else
            mma(sum[m][n], words, i % 2 ? in.z : in.x, i % 2 ? in.w : in.y);
        }
        if constexpr (F::kScaled) {
          LONGHAUL_UNROLL
          for (int i = 0; i < 4; ++i) sum[m][n][i] = fma(scale[i / 2], part[i], sum[m][n][i]);
        }
      }
    }
  }
};

template <int MT, int NT>
LONGHAUL_DEVICE void clear_sums(float (&sum)[MT][NT][4]) {
  LONGHAUL_UNROLL
  for (int m = 0; m < MT; ++m)
    LONGHAUL_UNROLL
    for (int n = 0; n < NT; ++n)
      LONGHAUL_UNROLL
      for (int i = 0; i < 4; ++i) sum[m][n][i] = 0.0f;
}

/** A warp's sums, to where all warps' sums of one cell can be added up in order. */
template <int MT, int NT>
LONGHAUL_DEVICE void put_sums(float (&to)[16 * MT][8 * NT + 2], const float (&sum)[MT][NT][4]) {
  const int lane = thread_id() % 32;
  LONGHAUL_UNROLL
  for (int m = 0; m < MT; ++m)
    LONGHAUL_UNROLL
    for (int n = 0; n < NT; ++n)
      LONGHAUL_UNROLL
      for (int i = 0; i < 4; ++i) to[m * 16 + i / 2 * 8 + lane / 4][n * 8 + lane % 4 * 2 + i % 2] = sum[m][n][i];
}

constexpr int kAhead = 4;  // steps that are on their way from memory

template <class F, class E, int WARPS, int MT, int NT>
struct MmaTile {
  using Args = typename E::Args;
  struct Shared {
    float sums[WARPS][16 * MT][8 * NT + 2];
  };
  using Step = MmaStep<F, MT, NT>;
  static constexpr int kThreads = 32 * WARPS;
  static constexpr const char* kName = E::kName;

  static __device__ void fetch(const Args& a, int k0, Step& out) {
    const int k = Step::lane_k(k0);
    out.load_weights(a.w, block_x() * 16 * MT, k0);
    LONGHAUL_UNROLL
    for (int n = 0; n < NT; ++n) {
      const int token = (block_y() * NT + n) * 8 + thread_id() % 32 / 4;
      const Quad* const x = reinterpret_cast<const Quad*>(static_cast<const uint16_t*>(a.x.data) + size_t(token) * a.x.ld + k);
      LONGHAUL_UNROLL
      for (int i = 0; i < Step::kWords / 4; ++i) out.x[n][i] = k < a.w.n_in && token < a.rows ? x[i] : Quad{0, 0, 0, 0};
    }
  }

  static __device__ void run(Shared& shared, const Args& a) {
    F format;
    if constexpr (F::kScaled) format.prepare(a.w);
    const int warp = thread_id() / 32, first_row = block_x() * 16 * MT;
    const int steps = (a.w.n_in + F::kBlock - 1) / F::kBlock, slice = (steps + WARPS - 1) / WARPS;
    const int begin = warp * slice, end = begin + slice < steps ? begin + slice : steps;

    float sum[MT][NT][4];
    clear_sums<MT, NT>(sum);
    constexpr int kDepth = MT * NT > 4 ? 2 : kAhead;
    Step step[kDepth];
    LONGHAUL_UNROLL
    for (int i = 0; i < kDepth; ++i)
      if (begin + i < end) fetch(a, (begin + i) * F::kBlock, step[i]);
    for (int at = begin; at < end; at += kDepth) {
      LONGHAUL_UNROLL
      for (int i = 0; i < kDepth; ++i) {
        if (at + i >= end) break;
        step[i].multiply(a.w, format, first_row, (at + i) * F::kBlock, sum);
        if (at + i + kDepth < end) fetch(a, (at + i + kDepth) * F::kBlock, step[i]);
      }
    }
    put_sums<MT, NT>(shared.sums[warp], sum);
    sync_block();

    for (int cell = thread_id(); cell < 16 * MT * 8 * NT; cell += kThreads) {
      const int line = cell % (16 * MT), column = cell / (16 * MT);
      const int row = first_row + line, token = block_y() * 8 * NT + column;
      if (row >= a.w.n_out || token >= a.rows) continue;
      float total = shared.sums[0][line][column];
      LONGHAUL_UNROLL
      for (int other = 1; other < WARPS; ++other) total = add(total, shared.sums[other][line][column]);
      if (F::kRowScales) total = multiply(total, a.w.scales[row]);
      E::store(a, row, token, a.bias ? add(total, a.bias[row]) : total);
    }
  }
};

template <class F, class E, int WARPS, int MT, int NT>
void launch_tile(Stream& stream, const typename E::Args& args) {
  launch<MmaTile<F, E, WARPS, MT, NT>>(stream, {(args.w.n_out + 16 * MT - 1) / (16 * MT), (args.rows + 8 * NT - 1) / (8 * NT)}, args);
}

/** More warps where there are few rows of W to go round; more rows of W a block where there are many of x. */
template <class E>
void launch_mma(Stream& stream, const typename E::Args& args) {
  with_format(args.w, E::kName, [&](auto format) {
    using F = decltype(format);
    constexpr int kFewRows = 2048;
    if (args.w.n_out <= kFewRows) {
      if (args.rows <= 8) return launch_tile<F, E, 16, 1, 1>(stream, args);
      return launch_tile<F, E, 16, 1, 2>(stream, args);
    }
    if (args.rows <= 8) return launch_tile<F, E, 8, 1, 1>(stream, args);
    if (args.rows <= 16) return launch_tile<F, E, 8, 1, 2>(stream, args);
    if (args.rows <= 32) return launch_tile<F, E, 8, 2, 4>(stream, args);
    return launch_tile<F, E, 8, 2, 8>(stream, args);
  });
}

}  // namespace longhaul::cuda
