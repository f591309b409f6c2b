// y = W x + bias, or y += W x + bias, over packed weights and packed activations: the loop that every format shares.
//
//   y[t,n] = sum_k W[n,k] x[t,k]
//
// Lanes run over output columns; one word of x (an fp32, two bf16, four int8) is broadcast. Each y[t,n] is one chain over
// increasing k, whatever the tile: the bits do not depend on how many rows share the call. Formats with scales along k
// sum each segment by itself, then add it scaled: one fma a segment, again in order. A tile keeps MR x NV accumulators in
// registers (twice that with segments). Compute-bound for many rows, bound by reading W for one.
//
// A format F names: Acc (F32x16 or Words16), Operand, kUnroll (steps that share a load), kSegmented, and
//   F(args)                          constants, e.g. the code table
//   operand(w, stride, step, u)      sixteen columns of the weights of step + u, u < kUnroll
//   mac(acc, operand, word)          acc + operand times the broadcast word
#pragma once

#include "backend/cpu/ops/kernels.h"

namespace longhaul::cpu::LONGHAUL_ISA {

#if defined(__AVX512F__)
constexpr int kMaxRows = 12, kMaxSegmentedRows = 8, kVectors = 2;
#elif defined(__AVX2__)
constexpr int kMaxRows = 6, kMaxSegmentedRows = 2, kVectors = 1;
#else
constexpr int kMaxRows = 4, kMaxSegmentedRows = 2, kVectors = 1;
#endif

constexpr int kAhead = 24;  // loads of weights

/** Where a tile of MR rows by NV vectors lies. */
struct Place {
  const uint8_t* w;     // the panel, at the first column
  size_t stride;        // bytes from one step's weights to the next's
  size_t cell;          // bytes from one vector of columns to the next
  const float* scales;  // of the segments, at the first column
  int columns;          // floats from one segment's scales to the next's
  const uint32_t* x;    // at the first row
  const float* x_scales;
  const int32_t* x_offsets;
  int height;           // rows of the tile of x
  float* y;
  int column, rows;     // first output column; rows to store
};

template <class F, int MR, int NV>
LONGHAUL_HD void store_tile(const LinearArgs& args, const Place& at, F32x16 (&sum)[MR][NV]) {
#pragma GCC unroll 12
  for (int m = 0; m < MR; ++m) {
    if (m >= at.rows) break;
#pragma GCC unroll 2
    for (int v = 0; v < NV; ++v) {
      float* y = at.y + size_t(m) * args.ldy + 16 * v;
      F32x16 out = sum[m][v];
      if constexpr (F::kRowScales) out = out * load(args.scales + at.column + 16 * v);
      if (args.bias) out = out + load(args.bias + at.column + 16 * v);
      if (args.accumulate) out = load(y) + out;
      store(y, out);
    }
  }
}

template <class F, int MR, int NV, class Acc>
LONGHAUL_HD void steps_of(const F& format, const Place& at, int begin, int end, Acc (&acc)[MR][NV]) {
  const uint32_t* x = at.x + size_t(begin) * at.height;
#pragma GCC unroll 4
  for (int step = begin; step < end; step += F::kUnroll) {
    // Few rows take the weights from memory, and leave the hardware too little time to fetch ahead by itself. Full tiles
    // come as 12 rows, or twice 6 with segments.
    if constexpr (MR > 1 && MR != 12 && !(F::kSegmented && MR == 6))
      for (int v = 0; v < NV; ++v) __builtin_prefetch(at.w + v * at.cell + (step / F::kUnroll + kAhead) * at.stride);
#pragma GCC unroll 8
    for (int u = 0; u < F::kUnroll; ++u) {
      typename F::Operand w[NV];
#pragma GCC unroll 2
      for (int v = 0; v < NV; ++v) w[v] = format.operand(at.w + v * at.cell, at.stride, step, u);
#pragma GCC unroll 12
      for (int m = 0; m < MR; ++m) {
#pragma GCC unroll 2
        for (int v = 0; v < NV; ++v) acc[m][v] = F::mac(acc[m][v], w[v], x[m]);
      }
      x += at.height;
    }
  }
}

template <class F, int MR, int NV>
void tile(const LinearArgs& args, const Place& at) {
  const F format(args);
  const int steps = args.x.steps;
  F32x16 sum[MR][NV];
#pragma GCC unroll 12
  for (int m = 0; m < MR; ++m)
#pragma GCC unroll 2
    for (int v = 0; v < NV; ++v) sum[m][v] = broadcast(0.0f);
  if constexpr (!F::kSegmented) {
    steps_of<F, MR, NV>(format, at, 0, steps, sum);
  } else {
    const int length = F::segment_steps(args);
    for (int begin = 0, s = 0; begin < steps; begin += length, ++s) {
      typename F::Acc part[MR][NV];
#pragma GCC unroll 12
      for (int m = 0; m < MR; ++m)
#pragma GCC unroll 2
        for (int v = 0; v < NV; ++v) part[m][v] = F::begin(at, s, m);
      steps_of<F, MR, NV>(format, at, begin, begin + length < steps ? begin + length : steps, part);
#pragma GCC unroll 2
      for (int v = 0; v < NV; ++v) {
        const F32x16 scale = F::kRowScales ? broadcast(1.0f) : load(at.scales + size_t(s) * at.columns + 16 * v);
#pragma GCC unroll 12
        for (int m = 0; m < MR; ++m) sum[m][v] = F::end(sum[m][v], part[m][v], scale, at, s, m);
      }
    }
  }
  store_tile<F, MR, NV>(args, at, sum);
}

/** Rows at once in a tile of `height` rows: the largest part of it that the registers hold. */
template <class F>
constexpr int rows_at_once(int height) {
  const int most = F::kSegmented ? kMaxSegmentedRows : kMaxRows;
  for (const int rows : {12, 8, 6, 4, 2})
    if (rows <= most && height % rows == 0) return rows;
  return 1;
}

template <class F, int MR, int NV>
LONGHAUL_HD void try_rows(const LinearArgs& args, const Place& at, int rows) {
  constexpr int most = F::kSegmented ? kMaxSegmentedRows : kMaxRows;
  if constexpr (MR <= most)
    if (rows == MR) tile<F, MR, NV>(args, at);
}

template <class F, int NV>
LONGHAUL_HD void tile_of(const LinearArgs& args, const Place& at, int rows) {
  try_rows<F, 12, NV>(args, at, rows);
  try_rows<F, 8, NV>(args, at, rows);
  try_rows<F, 6, NV>(args, at, rows);
  try_rows<F, 4, NV>(args, at, rows);
  try_rows<F, 2, NV>(args, at, rows);
  try_rows<F, 1, NV>(args, at, rows);
}

/** Tiles [tile_begin, tile_end) of x by panels [panel_begin, panel_end) of W. */
template <class F>
void linear(const LinearArgs& args, int tile_begin, int tile_end, int rows, int panel_begin, int panel_end) {
  for (int panel = panel_begin; panel < panel_end; ++panel) {
    const int columns = args.n_out - panel * kPanel < kPanel ? kAlign : kPanel;
    for (int tile = tile_begin; tile < tile_end; ++tile) {
      const int first = tile * kTileRows;
      const int in_tile = rows - first < kTileRows ? rows - first : kTileRows;
      const int height = tile_height(in_tile);
      const int at_once = rows_at_once<F>(height);
      for (int row = 0; row < in_tile; row += at_once)
        for (int v = 0; v < columns / 16; v += kVectors) {
          const int column = panel * kPanel + 16 * v;
          const Place at{args.panels + panel * args.panel_bytes + v * F::kCell,
                         size_t(columns / 16) * F::kCell,
                         F::kCell,
                         args.scales ? args.scales + size_t(panel) * args.segments * kPanel + 16 * v : nullptr,
                         columns,
                         args.x.words + size_t(first) * args.x.steps + row,
                         args.x.scales ? args.x.scales + size_t(first) * args.x.groups + row : nullptr,
                         args.x.offsets ? args.x.offsets + size_t(first) * args.x.groups + row : nullptr,
                         height,
                         args.y + size_t(first + row) * args.ldy + column,
                         column,
                         in_tile - row};
          if (kVectors == 2 && columns / 16 - v >= 2)
            tile_of<F, kVectors>(args, at, at_once);
          else
            tile_of<F, 1>(args, at, at_once);
        }
    }
  }
}

}  // namespace longhaul::cpu::LONGHAUL_ISA
