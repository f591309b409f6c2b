// Causal depthwise convolution with SiLU, continuing from the conv state of a sequence and updating it.
//
//   u[t,i] = silu(bias[i] + sum_k w[k,i] x[t - (d_conv-1) + k, i])      x[-j] = the state's columns
//
// x, u (rows, d_inner) · w (d_conv, d_inner) · conv_state (d_conv - 1, d_inner), oldest column first.
// Lanes run over channels, taps in increasing k. Memory-bound. Any number of rows >= 1 is the same as one at a time.
#include "backend/cpu/ops/kernels.h"
#include "backend/math/activation.h"

namespace longhaul::cpu::LONGHAUL_ISA {

constexpr int kAhead = 4;  // rows: they lie further apart than the hardware prefetches

void causal_conv1d(const ConvArgs& args, const Span& span, int channel_begin, int channel_end) {
  const int history = args.w.d_conv - 1;
  const size_t d_inner = args.d_inner;
  const float* x = args.x + size_t(span.row) * args.ldx;
  float* u = args.u + size_t(span.row) * args.ldu;
  float* state = span.state + args.state_offset;
  const auto column = [&](int t) {
    return t < 0 ? state + size_t(history + t) * d_inner : x + size_t(t) * args.ldx;
  };
  for (int t = 0; t < span.rows; ++t) {
    for (int i = channel_begin; i < channel_end; i += 16) {
      __builtin_prefetch(x + size_t(t + kAhead) * args.ldx + i);
      F32x16 sum = load(args.w.bias + i);
      for (int k = 0; k <= history; ++k)
        sum = fma(load(args.w.weight + k * d_inner + i), load(column(t - history + k) + i), sum);
      store(u + size_t(t) * args.ldu + i, math::silu(sum));
    }
  }
  // The new state's column j is the old window's column j + rows: sources lie ahead, so ascending order is safe.
  for (int j = 0; j < history; ++j) {
    const float* from = column(span.rows - history + j);
    for (int i = channel_begin; i < channel_end; i += 16) store(state + j * d_inner + i, load(from + i));
  }
}

}  // namespace longhaul::cpu::LONGHAUL_ISA
