// The selective scan of one sequence, in token order, updating its ssm_state in place.
//
//   delta  = softplus(dt[t,i] + dt_bias[i])
//   h[n,i] = exp(delta A[n,i]) h[n,i] + delta u[t,i] B[t,n]
//   y[t,i] = (sum_n h[n,i] C[t,n] + D[i] u[t,i]) silu(z[t,i])          n in increasing order
//
// u, dt, z, y (rows, d_inner) · B, C (rows, d_state) · A, h = ssm_state by state_index · fp32.
// Lanes are sixteen channels. Tokens pass in blocks: first every delta of a block, then four states at a time through the
// block (their h, A and the constants of the exponential fill the registers), then gate and output. Bound by the d_state
// exponentials per channel and token.
#include "backend/cpu/ops/kernels.h"
#include "backend/math/activation.h"
#include "backend/math/scan_step.h"

namespace longhaul::cpu::LONGHAUL_ISA {
namespace {

constexpr int kBlock = 32;  // tokens
constexpr int kAhead = 4;   // rows: they lie further apart than the hardware prefetches

/** One block of tokens for sixteen channels: (rows, 16) each. */
struct Block {
  alignas(64) float delta[kBlock * 16], delta_u[kBlock * 16], y[kBlock * 16];
};

/** States [n, n + N) through the block. */
template <int N>
LONGHAUL_HD void states_through(const ScanArgs& args, int first, int rows, int n, const float* a_log2e, float* state, Block& block) {
  F32x16 h[N], a[N];
#pragma GCC unroll 4
  for (int j = 0; j < N; ++j) {
    h[j] = load(state + (n + j) * 16);
    a[j] = load(a_log2e + (n + j) * 16);
  }
  const float* b = args.b + size_t(first) * args.ldb + n;
  const float* c = args.c + size_t(first) * args.ldc + n;
  for (int t = 0; t < rows; ++t, b += args.ldb, c += args.ldc) {
    const F32x16 delta = load(block.delta + t * 16), delta_u = load(block.delta_u + t * 16);
    F32x16 y = load(block.y + t * 16);
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) math::scan_step(h[j], y, delta, delta_u, a[j], broadcast(b[j]), broadcast(c[j]));
    store(block.y + t * 16, y);
  }
#pragma GCC unroll 4
  for (int j = 0; j < N; ++j) store(state + (n + j) * 16, h[j]);
}

void scan_block(const ScanArgs& args, int first, int rows, int channel, float* state, Block& block) {
  const int d_state = args.w.d_state;
  const float* a = args.w.a_log2e + size_t(channel) * d_state;
  const F32x16 dt_bias = load(args.w.dt_bias + channel), d = load(args.w.d + channel);
  const auto at = [channel](const float* rows_of, int ld, int t) { return rows_of + size_t(t) * ld + channel; };
  for (int t = 0; t < rows; ++t) {
    // Past the last row this prefetches in vain.
    __builtin_prefetch(at(args.u, args.ldu, first + t + kAhead));
    __builtin_prefetch(at(args.dt, args.lddt, first + t + kAhead));
    __builtin_prefetch(at(args.z, args.ldz, first + t));
    const F32x16 delta = math::softplus(load(at(args.dt, args.lddt, first + t)) + dt_bias);
    store(block.delta + t * 16, delta);
    store(block.delta_u + t * 16, delta * load(at(args.u, args.ldu, first + t)));
    store(block.y + t * 16, broadcast(0.0f));
  }
  int n = 0;
  for (; n + 4 <= d_state; n += 4) states_through<4>(args, first, rows, n, a, state, block);
  for (; n < d_state; ++n) states_through<1>(args, first, rows, n, a, state, block);
  for (int t = 0; t < rows; ++t) {
    const F32x16 y = fma(d, load(at(args.u, args.ldu, first + t)), load(block.y + t * 16));
    store(args.y + size_t(first + t) * args.ldy + channel, y * math::silu(load(at(args.z, args.ldz, first + t))));
  }
}

}  // namespace

void selective_scan(const ScanArgs& args, const Span& span, int channel_begin, int channel_end) {
  Block block;
  for (int channel = channel_begin; channel < channel_end; channel += 16) {
    float* state = span.state + args.state_offset + size_t(channel) * args.w.d_state;
    for (int done = 0; done < span.rows; done += kBlock)
      scan_block(args, span.row + done, span.rows - done < kBlock ? span.rows - done : kBlock, channel, state, block);
  }
}

}  // namespace longhaul::cpu::LONGHAUL_ISA
