// The selective scan of every span, in token order, updating its ssm_state in place; one kernel for chunks and for decode.
//
//   delta  = softplus(dt[t,i] + dt_bias[i])
//   h[n,i] = exp(delta A[n,i]) h[n,i] + delta u[t,i] B[t,n]
//   y[t,i] = (sum_n h[n,i] C[t,n] + D[i] u[t,i]) silu(z[t,i])
//
// Four lanes share a channel, each with S of its states in registers; a block has 32 channels of one span. Tokens pass in
// tiles through shared memory: the next tile is on its way into registers while this one is worked on, and what does not
// depend on the state (delta, the gate) is done once per channel on the way. Four tokens at a time go through the states,
// then their four partial sums a channel are exchanged so that each lane ends with one token: (p0 + p1) + (p2 + p3)
// whichever the token, so the bits do not depend on where a chunk begins. Bound by 16 exponentials a channel and token.
#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.h"

namespace longhaul::cuda {
namespace {

constexpr int kChannels = 32, kLanes = 4, kScanThreads = kChannels * kLanes, kTokens = 32;
// Staging: a thread has two neighbouring channels of every eighth token.
constexpr int kStageRows = kScanThreads / (kChannels / 2), kStages = kTokens / kStageRows;

template <int S>
struct ScanShared {
  struct alignas(8) Cell {
    float a, b;
  };
  Cell delta[kTokens][kChannels + 8];  // delta, delta u
  Cell gate[kTokens][kChannels + 8];   // u, silu(z)
  float bc[kTokens][2][kLanes * S];
  float y[kTokens][kChannels + 1];
};

/** A tile on its way: what this thread stages. */
template <int S>
struct Staged {
  float u[kStages][2], z[kStages][2], dt[kStages][2];
  float bc[2 * S];
};

LONGHAUL_DEVICE void load_two(const Typed& rows, size_t at, float (&out)[2]) {
  if (rows.bf16) {
    const uint32_t pair = *reinterpret_cast<const uint32_t*>(static_cast<const uint16_t*>(rows.data) + at);
    out[0] = low_of(pair);
    out[1] = high_of(pair);
  } else {
    out[0] = static_cast<const float*>(rows.data)[at];
    out[1] = static_cast<const float*>(rows.data)[at + 1];
  }
}

/** Rows [first, first + rows) of the span; zeros beyond. */
template <int S>
LONGHAUL_DEVICE void fetch(const ScanArgs& a, const Span& span, int first, int rows, Staged<S>& out) {
  const int channel = block_x() * kChannels + thread_id() % (kChannels / 2) * 2;
  LONGHAUL_UNROLL
  for (int s = 0; s < kStages; ++s) {
    const int t = thread_id() / (kChannels / 2) + s * kStageRows;
    const bool inside = t < rows && channel < a.d_inner;
    LONGHAUL_UNROLL
    for (int j = 0; j < 2; ++j) out.u[s][j] = out.z[s][j] = out.dt[s][j] = 0.0f;
    if (!inside) continue;
    const size_t row = size_t(span.row + first + t);
    load_two(a.u, row * a.u.ld + channel, out.u[s]);
    load_two(a.z, row * a.z.ld + channel, out.z[s]);
    out.dt[s][0] = a.dt[row * a.lddt + channel];
    out.dt[s][1] = a.dt[row * a.lddt + channel + 1];
  }
  constexpr int kWidth = kLanes * S;
  LONGHAUL_UNROLL
  for (int i = 0; i < 2 * S; ++i) {
    const int cell = i * kScanThreads + thread_id();
    const int t = cell / (2 * kWidth), n = cell % kWidth;
    const bool is_c = cell / kWidth % 2 == 1;
    out.bc[i] = 0.0f;
    if (t < rows && n < a.w.d_state) {
      const size_t row = size_t(span.row + first + t);
      out.bc[i] = is_c ? a.c[row * a.ldc + n] : a.b[row * a.ldb + n];
    }
  }
}

template <int S>
LONGHAUL_DEVICE void stage(const ScanArgs& a, const Staged<S>& in, ScanShared<S>& shared) {
  const int column = thread_id() % (kChannels / 2) * 2;
  const int channel = block_x() * kChannels + column;
  const bool inside = channel < a.d_inner;
  LONGHAUL_UNROLL
  for (int s = 0; s < kStages; ++s) {
    const int t = thread_id() / (kChannels / 2) + s * kStageRows;
    LONGHAUL_UNROLL
    for (int j = 0; j < 2; ++j) {
      const float delta = softplus(add(in.dt[s][j], inside ? a.w.dt_bias[channel + j] : 0.0f));
      shared.delta[t][column + j] = {delta, multiply(delta, in.u[s][j])};
      shared.gate[t][column + j] = {in.u[s][j], silu(in.z[s][j])};
    }
  }
  LONGHAUL_UNROLL
  for (int i = 0; i < 2 * S; ++i) {
    const int cell = i * kScanThreads + thread_id();
    (&shared.bc[0][0][0])[cell] = in.bc[i];
  }
}

/** Tokens [t, t + 4) through this lane's states; those from `rows` on leave the states alone. */
template <int S, bool kTail>
LONGHAUL_DEVICE void four_tokens(ScanShared<S>& shared, int t, int rows, const float (&a)[S], float d, float (&h)[S]) {
  const int column = thread_id() / kLanes, lane = thread_id() % kLanes;
  float sum[4];
  LONGHAUL_UNROLL
  for (int j = 0; j < 4; ++j) {
    const auto cell = shared.delta[t + j][column];
    float p = 0.0f;
    LONGHAUL_UNROLL
    for (int s = 0; s < S; ++s) {
      const float b = shared.bc[t + j][0][lane * S + s], c = shared.bc[t + j][1][lane * S + s];
      const float next = fma(exp2_fast(multiply(cell.a, a[s])), h[s], multiply(cell.b, b));
      h[s] = kTail && t + j >= rows ? h[s] : next;
      p = fma(h[s], c, p);
    }
    sum[j] = p;
  }
  const bool odd = lane & 1, upper = lane & 2;
  const float even_pair = add(odd ? sum[1] : sum[0], shuffle_xor(odd ? sum[0] : sum[1], 1));
  const float odd_pair = add(odd ? sum[3] : sum[2], shuffle_xor(odd ? sum[2] : sum[3], 1));
  const float mine = add(upper ? odd_pair : even_pair, shuffle_xor(upper ? even_pair : odd_pair, 2));
  const auto gate = shared.gate[t + lane][column];
  shared.y[t + lane][column] = multiply(fma(d, gate.a, mine), gate.b);
}

template <int S>
struct Scan {
  using Args = ScanArgs;
  using Shared = ScanShared<S>;
  static constexpr int kThreads = kScanThreads;
  static constexpr const char* kName = "selective_scan";

  static __device__ void run(Shared& shared, const Args& a) {
    const Span span = a.spans[block_y()];
    const int column = thread_id() / kLanes, lane = thread_id() % kLanes;
    const int channel = block_x() * kChannels + column;
    const bool inside = channel < a.d_inner;
    float* const state = span.state + a.state_offset;

    float h[S], rate[S];
    LONGHAUL_UNROLL
    for (int s = 0; s < S; ++s) {
      const int n = lane * S + s;
      const bool real = inside && n < a.w.d_state;
      h[s] = real ? state[state_index(channel, n, a.w.d_state)] : 0.0f;
      rate[s] = real ? a.w.a_log2e[state_index(channel, n, a.w.d_state)] : 0.0f;
    }
    const float d = inside ? a.w.d[channel] : 0.0f;

    Staged<S> staged;
    fetch<S>(a, span, 0, span.rows < kTokens ? span.rows : kTokens, staged);
    for (int first = 0; first < span.rows; first += kTokens) {
      const int rows = span.rows - first < kTokens ? span.rows - first : kTokens;
      stage<S>(a, staged, shared);
      sync_block();
      const int after = span.rows - first - kTokens;
      if (after > 0) fetch<S>(a, span, first + kTokens, after < kTokens ? after : kTokens, staged);
      int t = 0;
      for (; t + 4 <= rows; t += 4) four_tokens<S, false>(shared, t, rows, rate, d, h);
      if (t < rows) four_tokens<S, true>(shared, t, rows, rate, d, h);
      sync_block();
      write(shared, a, span.row + first, rows);
    }
    LONGHAUL_UNROLL
    for (int s = 0; s < S; ++s) {
      const int n = lane * S + s;
      if (inside && n < a.w.d_state) state[state_index(channel, n, a.w.d_state)] = h[s];
    }
  }

  /** The tile's y. What the next tile overwrites before the next barrier is not y. */
  static __device__ void write(const Shared& shared, const Args& a, int row, int rows) {
    const int column = thread_id() % (kChannels / 2) * 2;
    const int channel = block_x() * kChannels + column;
    if (channel >= a.d_inner) return;
    for (int t = thread_id() / (kChannels / 2); t < rows; t += kStageRows) {
      const size_t at = size_t(row + t) * a.y.ld + channel;
      const float left = shared.y[t][column], right = shared.y[t][column + 1];
      if (a.y.bf16) {
        *reinterpret_cast<uint32_t*>(static_cast<uint16_t*>(a.y.data) + at) = to_bf16_pair(left, right);
      } else {
        static_cast<float*>(a.y.data)[at] = left;
        static_cast<float*>(a.y.data)[at + 1] = right;
      }
    }
  }
};

}  // namespace

void selective_scan(Stream& stream, const ScanArgs& args, int spans) {
  const Grid grid{(args.d_inner + kChannels - 1) / kChannels, spans};
  const int states = (args.w.d_state + kLanes - 1) / kLanes;
  if (states <= 1) return launch<Scan<1>>(stream, grid, args);
  if (states <= 2) return launch<Scan<2>>(stream, grid, args);
  if (states <= 4) return launch<Scan<4>>(stream, grid, args);
  if (states <= 8) return launch<Scan<8>>(stream, grid, args);
  if (states <= 16) return launch<Scan<16>>(stream, grid, args);
  throw DeviceError("selective_scan: no kernel for " + std::to_string(args.w.d_state) + " states");
}

}  // namespace longhaul::cuda
