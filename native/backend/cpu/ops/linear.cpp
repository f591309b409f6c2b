// y = W x + bias, or y += W x + bias.
//
//   y[t,n] = sum_k W[n,k] x[t,k]
//
// x (rows, n_in) · W packed as panels of 16 output columns, k-major · y (rows, n_out).
// Lanes run over output columns; x[t,k] is broadcast. Each y[t,n] is one chain of fma over increasing k, whatever the
// tile: the bits do not depend on how many rows share the call. A tile keeps MR x NV vectors in registers; one row alone
// takes eight panels at once, so that eight chains hide the latency. Compute-bound for many rows, bound by reading W for one.
#include "backend/cpu/ops/kernels.h"

namespace longhaul::cpu::LONGHAUL_ISA {
namespace {

#if defined(LONGHAUL_ISA_AVX512)
constexpr int kMaxRows = 12;
constexpr int kMaxAccumulators = 24;
constexpr int kMaxPanels = 8;
#else
constexpr int kMaxRows = 6;
constexpr int kMaxAccumulators = 6;
constexpr int kMaxPanels = 4;
#endif

template <int MR, int NV, class W>
LONGHAUL_HD void tile(const LinearArgs& args, const W* panels, int row, int panel) {
  const size_t panel_stride = size_t(args.n_in) * kPanel;
  const W* w = panels + panel * panel_stride;
  const float* x = args.x + size_t(row) * args.ldx;
  F32x16 acc[MR][NV];
#pragma GCC unroll 16
  for (int m = 0; m < MR; ++m)
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) acc[m][v] = broadcast(0.0f);

  for (int k = 0; k < args.n_in; ++k) {
    F32x16 b[NV];
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) b[v] = load(w + v * panel_stride + size_t(k) * kPanel);
#pragma GCC unroll 16
    for (int m = 0; m < MR; ++m) {
      const F32x16 a = broadcast(x[size_t(m) * args.ldx + k]);
#pragma GCC unroll 8
      for (int v = 0; v < NV; ++v) acc[m][v] = fma(a, b[v], acc[m][v]);
    }
  }

#pragma GCC unroll 16
  for (int m = 0; m < MR; ++m)
#pragma GCC unroll 8
    for (int v = 0; v < NV; ++v) {
      const int column = (panel + v) * kPanel;
      float* y = args.y + size_t(row + m) * args.ldy + column;
      F32x16 out = acc[m][v];
      if (args.bias) out = out + load(args.bias + column);
      if (args.accumulate) out = load(y) + out;
      store(y, out);
    }
}

/** MR rows by all panels: as many panels at a time as the registers hold, then the rest in halves. */
template <int MR, int NV, class W>
LONGHAUL_HD int panels_of(const LinearArgs& args, const W* panels, int row, int panel, int panel_end) {
  if constexpr (MR * NV <= kMaxAccumulators && NV <= kMaxPanels)
    for (; panel + NV <= panel_end; panel += NV) tile<MR, NV>(args, panels, row, panel);
  return panel;
}

template <int MR, class W>
void strip(const LinearArgs& args, const W* panels, int row, int panel, int panel_end) {
  panel = panels_of<MR, 8>(args, panels, row, panel, panel_end);
  panel = panels_of<MR, 4>(args, panels, row, panel, panel_end);
  panel = panels_of<MR, 2>(args, panels, row, panel, panel_end);
  panels_of<MR, 1>(args, panels, row, panel, panel_end);
}

template <class W>
void rows_of(const LinearArgs& args, int row, int rows, int panel_begin, int panel_end) {
  const W* panels = static_cast<const W*>(args.panels);
  switch (rows) {
    case 1: return strip<1>(args, panels, row, panel_begin, panel_end);
    case 2: return strip<2>(args, panels, row, panel_begin, panel_end);
    case 3: return strip<3>(args, panels, row, panel_begin, panel_end);
    case 4: return strip<4>(args, panels, row, panel_begin, panel_end);
    case 5: return strip<5>(args, panels, row, panel_begin, panel_end);
    case 6: return strip<6>(args, panels, row, panel_begin, panel_end);
#if defined(LONGHAUL_ISA_AVX512)
    case 7: return strip<7>(args, panels, row, panel_begin, panel_end);
    case 8: return strip<8>(args, panels, row, panel_begin, panel_end);
    case 9: return strip<9>(args, panels, row, panel_begin, panel_end);
    case 10: return strip<10>(args, panels, row, panel_begin, panel_end);
    case 11: return strip<11>(args, panels, row, panel_begin, panel_end);
    case 12: return strip<12>(args, panels, row, panel_begin, panel_end);
#endif
  }
}

}  // namespace

void linear(const LinearArgs& args, int row_begin, int row_end, int panel_begin, int panel_end) {
  // Two panels at a time stay in the first-level cache while all rows pass by; few rows take every panel in one strip.
  const bool few_rows = row_end - row_begin <= 4;
  const int step = few_rows ? panel_end - panel_begin : 2;
  for (int panel = panel_begin; panel < panel_end; panel += step) {
    const int end = panel + step < panel_end ? panel + step : panel_end;
    for (int row = row_begin; row < row_end; row += kMaxRows) {
      const int rows = row_end - row < kMaxRows ? row_end - row : kMaxRows;
      if (args.bf16)
        rows_of<uint16_t>(args, row, rows, panel, end);
      else
        rows_of<float>(args, row, rows, panel, end);
    }
  }
}

}  // namespace longhaul::cpu::LONGHAUL_ISA
