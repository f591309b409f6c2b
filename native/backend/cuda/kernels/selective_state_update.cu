// One decode step from x_proj's row to y, updating ssm_state in place: the three norms, dt_proj, the recurrence and the gate.
//
//   dt, B, C   = each divided by sqrt(mean of its squares + eps), where the model has these norms
//   delta[i]   = softplus(W dt + dt_bias)[i]
//   h[n,i]     = exp(delta A[n,i]) h[n,i] + delta u[i] B[n]
//   y[i]       = (sum_n h[n,i] C[n] + D[i] u[i]) silu(z[i])
//
// A block has sixteen channels, which is one dense run of A and of a state, and eight tokens, each a sequence of its own; what
// it does for a token does not depend on the others. Weights and A are read before the launch before this one has ended (launch.h),
// then states, u and z are asked for; then a warp normalizes two tokens, cuts k of dt_proj into four slices with the other warps (mma_tile.h), and steps two tokens: a lane has four
// channels of every eighth state, so that A and h are read, and h written, 16 bytes at a time.
// Bound by reading W, A and h and writing h.
// sm_90a, 16 states: 113 registers with bf16 weights, 96 with others; no spills, 14 KiB of shared memory.
#include "backend/cuda/kernels/mma_tile.h"

namespace longhaul::cuda {
namespace {

constexpr int kTokens = 8, kWarps = 4, kOwn = kTokens / kWarps, kStateRows = 8;

LONGHAUL_DEVICE void load_four(const float* from, float (&to)[4]) {
  const Float4 v = *reinterpret_cast<const Float4*>(from);
  to[0] = v.x, to[1] = v.y, to[2] = v.z, to[3] = v.w;
}
LONGHAUL_DEVICE void store_four(float* to, const float (&v)[4]) { *reinterpret_cast<Float4*>(to) = {v[0], v[1], v[2], v[3]}; }

LONGHAUL_DEVICE float sum_of_warp(float v) {
  LONGHAUL_UNROLL
  for (int mask = 16; mask > 0; mask /= 2) v = add(v, shuffle_xor(v, mask));
  return v;
}

/** S states a lane. */
template <class F, int S>
struct StateUpdate {
  using Args = StateUpdateArgs;
  struct Shared {
    alignas(16) uint16_t dt[kTokens][kMostDtRank + 32];  // sixteen banks apart
    Float4 cell[kTokens][kAlign];                        // delta, delta u, D u, silu(z), by `place`
    float b[kTokens][kStateRows * S], c[kTokens][kStateRows * S];
    WarpSums<2, 1> sums[kWarps];
  };
  using Step = MmaStep<F, 2>;
  static constexpr int kThreads = 32 * kWarps;
  static constexpr int kMostSteps = kMostDtRank / F::kBlock / kWarps;
  static constexpr const char* kName = "selective_state_update";
  static constexpr bool kOverlaps = true;

  /** What a thread needs for its one cell, a channel of a token. */
  struct Cell {
    float bias = 0, d = 0, scale = 1, u = 0, z = 0;
  };

  static __device__ void run(Shared& shared, const Args& a) {
    let_next_start();
    const int warp = thread_id() / 32, lane = thread_id() % 32;
    const int first = block_x() * kAlign, first_token = block_y() * kTokens;
    const int steps = (a.dt_proj.n_in + F::kBlock - 1) / F::kBlock, slice = (steps + kWarps - 1) / kWarps;
    const int begin = warp * slice, end = begin + slice < steps ? begin + slice : steps;

    Step step[kMostSteps];
    LONGHAUL_UNROLL
    for (int i = 0; i < kMostSteps; ++i)
      if (begin + i < end) step[i].load(a.dt_proj, first, begin + i);
    F format;
    if constexpr (F::kScaled) format.prepare(a.dt_proj);
    const size_t run = size_t(first) * a.w.d_state;
    float rate[S][4];
    LONGHAUL_UNROLL
    for (int s = 0; s < S; ++s)
      if (state_of(s) < a.w.d_state) load_four(a.w.a_log2e + run + state_of(s) * kAlign + lane % 4 * 4, rate[s]);
    const int channel = first + thread_id() % kAlign, cell_token = first_token + column_of(thread_id() / kAlign);
    Cell cell;
    cell.bias = a.w.dt_bias[channel];
    cell.d = a.w.d[channel];
    if constexpr (F::kRowScales) cell.scale = a.dt_proj.scales[channel];

    wait_for_previous();
    float h[kOwn][S][4];
    LONGHAUL_UNROLL
    for (int s = 0; s < S; ++s) {
      LONGHAUL_UNROLL
      for (int own = 0; own < kOwn; ++own) {
        const int token = first_token + warp + own * kWarps;
        if (state_of(s) < a.w.d_state && token < a.rows)
          load_four(a.spans[token].state + a.state_offset + run + state_of(s) * kAlign + lane % 4 * 4, h[own][s]);
      }
    }
    if (cell_token < a.rows) {
      cell.u = from_bf16(static_cast<const uint16_t*>(a.u.data)[size_t(cell_token) * a.u.ld + channel]);
      cell.z = from_bf16(static_cast<const uint16_t*>(a.z.data)[size_t(cell_token) * a.z.ld + channel]);
    }

    LONGHAUL_UNROLL
    for (int own = 0; own < kOwn; ++own) {
      const int column = warp + own * kWarps;
      if (first_token + column < a.rows) normalize(shared, a, column, size_t(first_token + column) * a.ld);
    }
    sync_block();
    project(shared, a, format, step, begin, end);
    sync_block();
    prepare_cell(shared, cell);
    sync_block();

    LONGHAUL_UNROLL
    for (int own = 0; own < kOwn; ++own) {
      const int column = warp + own * kWarps, token = first_token + column;
      if (token < a.rows) update(shared, a, column, token, rate, h[own]);
    }
  }

  /** Of a channel's cell: the upper eight are exchanged by twos, so that neither who writes nor who reads every fourth meets in a bank. */
  static __device__ int place(int line) { return line ^ line / 8 * 2; }
  static __device__ int state_of(int s) { return s * kStateRows + thread_id() % 32 / 4; }

  /** A warp, one token: dt as bf16, B and C, zeros beyond them. */
  static __device__ void normalize(Shared& shared, const Args& a, int column, size_t row) {
    const int lane = thread_id() % 32, width = padded(a.dt_rank);
    constexpr int kParts = kMostDtRank / 32, kNarrow = (kStateRows * S + 31) / 32;
    float dt[kParts], b[kNarrow], c[kNarrow], squares[3] = {0.0f, 0.0f, 0.0f};
    LONGHAUL_UNROLL
    for (int i = 0; i < kParts; ++i) {
      const int at = i * 32 + lane;
      dt[i] = at < width ? a.dt[row + at] : 0.0f;
      squares[0] = fma(dt[i], dt[i], squares[0]);
    }
    LONGHAUL_UNROLL
    for (int i = 0; i < kNarrow; ++i) {
      const int n = i * 32 + lane;
      b[i] = n < a.w.d_state ? a.b[row + n] : 0.0f;
      c[i] = n < a.w.d_state ? a.c[row + n] : 0.0f;
      squares[1] = fma(b[i], b[i], squares[1]);
      squares[2] = fma(c[i], c[i], squares[2]);
    }
    float scale[3] = {1.0f, 1.0f, 1.0f};
    if (a.norms) {
      LONGHAUL_UNROLL
      for (int i = 0; i < 3; ++i) {
        const float mean = divide(sum_of_warp(squares[i]), float(i == 0 ? a.dt_rank : a.w.d_state));
        scale[i] = divide(1.0f, root(add(mean, a.eps)));
      }
    }
    const int whole = (width + F::kBlock - 1) / F::kBlock * F::kBlock;
    LONGHAUL_UNROLL
    for (int i = 0; i < kParts; ++i)
      if (i * 32 + lane < whole) shared.dt[column][i * 32 + lane] = to_bf16(multiply(dt[i], scale[0]));
    LONGHAUL_UNROLL
    for (int i = 0; i < kNarrow; ++i) {
      const int n = i * 32 + lane;
      if (n >= kStateRows * S) continue;
      shared.b[column][n] = multiply(b[i], scale[1]);
      shared.c[column][n] = multiply(c[i], scale[2]);
    }
  }

  /** This warp's slice of dt_proj; columns beyond the rows are zeros. */
  static __device__ void project(Shared& shared, const Args& a, const F& format, const Step (&step)[kMostSteps], int begin, int end) {
    const int column = thread_id() % 32 / 4;
    const bool real = block_y() * kTokens + column < a.rows;
    float sum[1][1][4];
    clear_sums(sum);
    LONGHAUL_UNROLL
    for (int i = 0; i < kMostSteps; ++i) {
      if (begin + i >= end) break;
      const Quad* const dt = reinterpret_cast<const Quad*>(&shared.dt[column][Step::lane_k(begin + i)]);
      Quad x[1][Step::kQuads];
      LONGHAUL_UNROLL
      for (int q = 0; q < Step::kQuads; ++q) x[0][q] = real ? dt[q] : Quad{0, 0, 0, 0};
      step[i].multiply(format, x, sum);
    }
    shared.sums[thread_id() / 32].put(sum);
  }

  /** A thread has one channel of one token; what it makes of tokens beyond the rows is never read. */
  static __device__ void prepare_cell(Shared& shared, const Cell& own) {
    const int line = thread_id() % kAlign, column = column_of(thread_id() / kAlign);
    float dt = shared.sums[0].at(line, column);
    LONGHAUL_UNROLL
    for (int other = 1; other < kWarps; ++other) dt = add(dt, shared.sums[other].at(line, column));
    if (F::kRowScales) dt = multiply(dt, own.scale);
    const float delta = softplus(add(dt, own.bias));
    shared.cell[column][place(line)] = {delta, multiply(delta, own.u), multiply(own.d, own.u), silu(own.z)};
  }

  /** A warp, one token. Sums over the states: a lane's own in order, then pairs of lanes. */
  static __device__ void update(const Shared& shared, const Args& a, int column, int token, const float (&rate)[S][4], float (&h)[S][4]) {
    const int lane = thread_id() % 32, first = block_x() * kAlign + lane % 4 * 4;
    float y[4];
    LONGHAUL_UNROLL
    for (int i = 0; i < 4; ++i) {
      const Float4 cell = shared.cell[column][place(lane % 4 * 4 + i)];
      float sum = 0.0f;
      LONGHAUL_UNROLL
      for (int s = 0; s < S; ++s) {
        if (state_of(s) >= a.w.d_state) break;
        h[s][i] = fma(exp2_fast(multiply(cell.x, rate[s][i])), h[s][i], multiply(cell.y, shared.b[column][state_of(s)]));
        sum = fma(h[s][i], shared.c[column][state_of(s)], sum);
      }
      LONGHAUL_UNROLL
      for (int mask = 4; mask < 32; mask *= 2) sum = add(sum, shuffle_xor(sum, mask));
      y[i] = multiply(add(sum, cell.z), cell.w);
    }
    float* const state = a.spans[token].state + a.state_offset + size_t(block_x() * kAlign) * a.w.d_state + lane % 4 * 4;
    LONGHAUL_UNROLL
    for (int s = 0; s < S; ++s)
      if (state_of(s) < a.w.d_state) store_four(state + state_of(s) * kAlign, h[s]);
    if (lane < 4)
      *reinterpret_cast<Pair*>(static_cast<uint16_t*>(a.y.data) + size_t(token) * a.y.ld + first) =
          Pair{to_bf16_pair(y[0], y[1]), to_bf16_pair(y[2], y[3])};
  }
};

template <class F, int S>
void launch_update(Stream& stream, const StateUpdateArgs& args) {
  launch<StateUpdate<F, S>>(stream, {args.d_inner / kAlign, (args.rows + kTokens - 1) / kTokens}, args);
}

}  // namespace

void selective_state_update(Stream& stream, const StateUpdateArgs& args) {
  with_format<Code4Registers>(args.dt_proj, "selective_state_update", [&](auto format) {
    using F = decltype(format);
    const int states = (args.w.d_state + kStateRows - 1) / kStateRows;
    if (states <= 1) return launch_update<F, 1>(stream, args);
    if (states <= 2) return launch_update<F, 2>(stream, args);
    if (states <= 4) return launch_update<F, 4>(stream, args);
    return launch_update<F, 8>(stream, args);
  });
}

}  // namespace longhaul::cuda
