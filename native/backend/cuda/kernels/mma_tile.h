// W x for a few rows of x on tensor cores: bf16, int8 or code4 weights, bf16 activations, fp32 sums; what becomes of a sum is
// the epilogue's.
//
// The weights are the 16-row operand and stream from memory once, straight into registers, as they are stored; x is the
// 8-column operand. A block has 8 G rows of W; its warps cut k into as many slices and add their sums
// up in order. Which k go into one instruction, the slices and that order are chosen by the shape of W alone, so a sum
// has the same bits however many rows share the call. Bound by reading W.
// sm_90a, for up to 8 rows: 64 registers with bf16 weights, 79 with int8 and fp8, 119 with codes; bf16 80 up to 16 rows, 126 up
// to 32, 184 beyond; no spills.
//
// With less than 16 bits a weight, a lane's x is two accesses of half a sector each; W is read in whole sectors in every format.
//
// All that reads W is under way before the launch before this one has ended (launch.h); x is read after that.
//
// An epilogue E names Args (a LinearArgs, or more), kName, store(args, row of W, token, sum) and expect(args, row of W, token), which may
// ask for what that will read.
#pragma once

#include <type_traits>

#include "backend/cuda/kernels/weight_formats.h"
#include "backend/cuda/launch.h"

namespace longhaul::cuda {

/** One step along k of G groups of eight rows of W: what a lane holds of it. */
template <class F, int G>
struct MmaStep {
  static constexpr int kValues = F::kBlock / 4, kWords = kValues / 2, kSteps = kValues / 4, kQuads = kWords / 4, kTiles = (G + 1) / 2;
  typename F::Load w[G];
  float scale[G];  // where a step has scales of its own

  /** The first k of this lane in a step. */
  static __device__ int lane_k(int step) { return step * F::kBlock + thread_id() % 4 * kValues; }

  static __device__ bool inside(const WeightView& view, int k) { return F::kWhole || k < view.n_in; }

  /** Beyond the weight: any row and any k of it, to be multiplied by zeros, or never stored. */
  __device__ void load(const WeightView& view, int first_row, int step) {
    const int k = lane_k(step);
    LONGHAUL_UNROLL
    for (int g = 0; g < G; ++g) {
      const int asked = first_row + g * 8 + thread_id() % 32 / 4, row = asked < view.n_out ? asked : view.n_out - 1;
      w[g] = F::load(view, row, inside(view, k) ? k : 0);
      if constexpr (F::kScaled) scale[g] = view.scales[size_t(row) * (view.n_in / F::kBlock) + step];
    }
  }

  /** sum += these rows by 8 NT tokens; a tile's lower half is zeros where there is no group for it. */
  template <int NT>
  __device__ void multiply(const F& format, const Quad (&x)[NT][kQuads], float (&sum)[kTiles][NT][4]) const {
    LONGHAUL_UNROLL
    for (int m = 0; m < kTiles; ++m) {
      constexpr bool kHalf = G == 1;
      uint32_t upper[kWords], lower[kWords] = {};
      format.expand(w[2 * m], upper);
      if constexpr (!kHalf) format.expand(w[2 * m + 1], lower);
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
          for (int i = 0; i < (kHalf ? 2 : 4); ++i) sum[m][n][i] = fma(scale[2 * m + i / 2], part[i], sum[m][n][i]);
        }
      }
    }
  }
};

/**
 * A warp's sums where all warps' sums of one cell can be added up in order. Columns lie so far apart that neither the warp that
 * writes them meets itself in a bank, nor one that reads eight lines or more of columns in the order of `column_of`.
 */
template <int G, int NT>
struct WarpSums {
  float columns[8 * NT][8 * G + 4];
  __device__ float at(int line, int column) const { return columns[column][line]; }
  __device__ void put(const float (&sum)[(G + 1) / 2][NT][4]) {
    const int lane = thread_id() % 32;
    LONGHAUL_UNROLL
    for (int g = 0; g < G; ++g)
      LONGHAUL_UNROLL
      for (int n = 0; n < NT; ++n)
        LONGHAUL_UNROLL
        for (int i = 0; i < 2; ++i) columns[n * 8 + lane % 4 * 2 + i][g * 8 + lane / 4] = sum[g / 2][n][g % 2 * 2 + i];
  }
};
/** 0 4 2 6 1 5 3 7 of every eight. */
LONGHAUL_DEVICE int column_of(int i) { return (i & ~7) | (i & 1) << 2 | (i & 2) | (i >> 2 & 1); }

template <class F, class E, int WARPS, int G, int NT>
struct MmaTile {
  using Args = typename E::Args;
  static constexpr int kRows = 8 * G, kThreads = 32 * WARPS;
  static constexpr bool kTable = std::is_same_v<F, Code4Table>;
  union Shared {
    WarpSums<G, NT> sums[WARPS];
    std::conditional_t<kTable, Code4Table::Table, NoShared> table;  // until the last weight is multiplied
  };
  using Step = MmaStep<F, G>;
  using Tokens = Quad[NT][Step::kQuads];
  static constexpr const char* kName = E::kName;
  static constexpr bool kOverlaps = true;
  /** Steps whose weights are on their way from memory, and steps whose x are, from a cache. */
  static constexpr int kWanted = (NT == 1 ? F::kAhead : 4) * 2 / G;
  static constexpr int kAhead = G * NT > 8 ? 2 : kWanted < 8 ? kWanted : 8, kNear = kTable && NT > 4 ? 1 : 2;
  static_assert(kAhead % kNear == 0 && kThreads % kRows == 0);

  /** Zeros beyond the weight; for tokens beyond the rows those of the last one: their sums are never stored. */
  static __device__ void load_tokens(const Args& a, int step, Tokens& out) {
    const int k = Step::lane_k(step);
    LONGHAUL_UNROLL
    for (int n = 0; n < NT; ++n) {
      const int asked = (block_y() * NT + n) * 8 + thread_id() % 32 / 4, token = asked < a.rows ? asked : a.rows - 1;
      const Quad* const x = reinterpret_cast<const Quad*>(static_cast<const uint16_t*>(a.x.data) + size_t(token) * a.x.ld + k);
      LONGHAUL_UNROLL
      for (int i = 0; i < Step::kQuads; ++i) out[n][i] = Step::inside(a.w, k) ? x[i] : Quad{0, 0, 0, 0};
    }
  }

  static __device__ void run(Shared& shared, const Args& a) {
    let_next_start();
    const int warp = thread_id() / 32, first_row = block_x() * kRows;
    const int steps = (a.w.n_in + F::kBlock - 1) / F::kBlock, slice = (steps + WARPS - 1) / WARPS;
    const int begin = warp * slice, end = begin + slice < steps ? begin + slice : steps;

    Step step[kAhead];
    LONGHAUL_UNROLL
    for (int i = 0; i < kAhead; ++i)
      if (begin + i < end) step[i].load(a.w, first_row, begin + i);
    F format;
    if constexpr (kTable) format.template prepare<kThreads>(shared.table, a.w);
    // A thread adds up cells of one row.
    const int line = thread_id() % kRows, row = first_row + line, own = block_y() * 8 * NT + column_of(thread_id() / kRows);
    float row_scale = 1.0f, bias = 0.0f;
    if (row < a.w.n_out) {
      if constexpr (F::kRowScales) row_scale = a.w.scales[row];
      if (a.bias) bias = a.bias[row];
      if (own < a.rows) E::expect(a, row, own);
    }

    wait_for_previous();
    Tokens x[kNear];
    LONGHAUL_UNROLL
    for (int i = 0; i < kNear; ++i)
      if (begin + i < end) load_tokens(a, begin + i, x[i]);
    float sum[Step::kTiles][NT][4];
    clear_sums(sum);
    for (int at = begin; at < end; at += kAhead) {
      LONGHAUL_UNROLL
      for (int i = 0; i < kAhead; ++i) {
        if (at + i >= end) break;
        step[i].multiply(format, x[i % kNear], sum);
        if (at + i + kAhead < end) step[i].load(a.w, first_row, at + i + kAhead);
        if (at + i + kNear < end) load_tokens(a, at + i + kNear, x[i % kNear]);
      }
    }
    if constexpr (kTable) sync_block();
    shared.sums[warp].put(sum);
    sync_block();

    if (row >= a.w.n_out) return;
    for (int i = thread_id() / kRows; i < 8 * NT; i += kThreads / kRows) {
      const int column = column_of(i), token = block_y() * 8 * NT + column;
      if (token >= a.rows) continue;
      float total = shared.sums[0].at(line, column);
      LONGHAUL_UNROLL
      for (int other = 1; other < WARPS; ++other) total = add(total, shared.sums[other].at(line, column));
      if (F::kRowScales) total = multiply(total, row_scale);
      E::store(a, row, token, a.bias ? add(total, bias) : total);
    }
  }
};

template <class F, class E, int WARPS, int G, int NT>
void launch_tile(Stream& stream, const typename E::Args& args) {
  launch<MmaTile<F, E, WARPS, G, NT>>(stream, {(args.w.n_out + 8 * G - 1) / (8 * G), (args.rows + 8 * NT - 1) / (8 * NT)}, args);
}

/**
 * More warps where there are few rows of W to go round, and half a tile where there are very few; more rows of W a block where there
 * are many of x. Only the number of warps cuts k.
 */
template <class E>
void launch_mma(Stream& stream, const typename E::Args& args) {
  with_format<Code4Table>(args.w, E::kName, [&](auto format) {
    using F = decltype(format);
    constexpr int kFewRows = 2048, kVeryFewRows = 1024;
    if (args.w.n_out <= kVeryFewRows) {
      if (args.rows <= 8) return launch_tile<F, E, 16, 1, 1>(stream, args);
      return launch_tile<F, E, 16, 1, 2>(stream, args);
    }
    if (args.w.n_out <= kFewRows) {
      if (args.rows <= 8) return launch_tile<F, E, 16, 2, 1>(stream, args);
      return launch_tile<F, E, 16, 2, 2>(stream, args);
    }
    if (args.rows <= 8) return launch_tile<F, E, 8, 2, 1>(stream, args);
    if (args.rows <= 16) return launch_tile<F, E, 8, 2, 2>(stream, args);
    if (args.rows <= 32) return launch_tile<F, E, 8, 4, 4>(stream, args);
    return launch_tile<F, E, 8, 4, 8>(stream, args);
  });
}

}  // namespace longhaul::cuda
