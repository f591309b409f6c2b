// The selective scan of one sequence, in token order, updating its ssm_state in place.
//
//   delta  = softplus(dt[t,i] + dt_bias[i])
//   h[n,i] = exp(delta A[n,i]) h[n,i] + delta u[t,i] B[t,n]
//   y[t,i] = (sum_n h[n,i] C[t,n] + D[i] u[t,i]) silu(z[t,i])          n in increasing order
//
// u, dt, z, y (rows, d_inner) · B, C (rows, d_state) · A, h = ssm_state by state_index · fp32.
// Lanes are sixteen channels, whose h stay in registers (d_state 16) or in the first-level cache while all tokens pass.
// Bound by the d_state exponentials per channel and token.
#include "backend/cpu/ops/kernels.h"
#include "backend/math/activation.h"
#include "backend/math/scan_step.h"

namespace longhaul::cpu::LONGHAUL_ISA {
namespace {

constexpr int kMaxState = 256;  // the loader refuses more

/** N = d_state where it is known at compile time, else 0. */
template <int N>
void scan_lanes(const ScanArgs& args, const Span& span, int channel) {
  const int d_state = N ? N : args.w.d_state;
  float* state = span.state + args.state_offset + size_t(channel) * d_state;
  const float* a = args.w.a_log2e + size_t(channel) * d_state;
  F32x16 h[N ? N : kMaxState];
  for (int n = 0; n < d_state; ++n) h[n] = load(state + n * 16);
  const F32x16 dt_bias = load(args.w.dt_bias + channel);
  const F32x16 d = load(args.w.d + channel);
  for (int t = span.row; t < span.row + span.rows; ++t) {
    const F32x16 u = load(args.u + size_t(t) * args.ldu + channel);
    const F32x16 delta = math::softplus(load(args.dt + size_t(t) * args.lddt + channel) + dt_bias);
    const F32x16 delta_u = delta * u;
    const float* b = args.b + size_t(t) * args.ldb;
    const float* c = args.c + size_t(t) * args.ldc;
    F32x16 y = broadcast(0.0f);
#pragma GCC unroll 16
    for (int n = 0; n < d_state; ++n)
      math::scan_step(h[n], y, delta, delta_u, load(a + n * 16), broadcast(b[n]), broadcast(c[n]));
    y = fma(d, u, y);
    store(args.y + size_t(t) * args.ldy + channel, y * math::silu(load(args.z + size_t(t) * args.ldz + channel)));
  }
  for (int n = 0; n < d_state; ++n) store(state + n * 16, h[n]);
}

}  // namespace

void selective_scan(const ScanArgs& args, const Span& span, int channel_begin, int channel_end) {
  for (int channel = channel_begin; channel < channel_end; channel += 16) {
    if (args.w.d_state == 16)
      scan_lanes<16>(args, span, channel);
    else
      scan_lanes<0>(args, span, channel);
  }
}

}  // namespace longhaul::cpu::LONGHAUL_ISA
