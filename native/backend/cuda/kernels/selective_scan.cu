// The selective scan of every span, in token order, updating its ssm_state in place: chunks of any length.
//
//   delta  = softplus(dt[t,i] + dt_bias[i])
//   h[n,i] = exp(delta A[n,i]) h[n,i] + delta u[t,i] B[t,n]
//   y[t,i] = (sum_n h[n,i] C[t,n] + D[i] u[t,i]) silu(z[t,i])
//
// Four lanes share a channel, each with S of its states in registers; a block has 32 channels of one span. Tokens pass in tiles
// of 32. Asynchronous copies bring the next tile into shared memory while this one is worked on, 16 bytes at a time; what
// a thread copies of dt, u and z it reads itself, so only B and C, which a block reads once for all its channels, and what is
// made of the others wait for the two barriers of a tile. Of each channel and token delta and the gate are made once. Four
// tokens go through the states together: 16 exponentials that nothing waits for, then four fused multiply-adds in a chain;
// then their four partial sums a channel are exchanged so that each lane ends with one token: (p0 + p1) + (p2 + p3)
// whichever the token, so the bits do not depend on tiles, nor on where a chunk begins.
//
// Of dt a thread copies two halves of one sector, so the second-level cache is asked for each sector twice.
//
// Bound by the special-function units: 16 exponentials and four more a channel and token, 16 a clock and multiprocessor. A warp's
// tile of 32 tokens by 8 channels has 160 of them, 1,280 clocks of its scheduler, and about 1,210 instructions (counted in the
// machine code for sm_90a, full tiles), which one clock each would issue: the copies' addresses are kept from tile to tile,
// and a full tile is unrolled, so that places in shared memory are constants.
// One document of 8,192 channels is 256 blocks of four warps, two a multiprocessor of 132; four would fit.
// sm_90a, 16 states, bf16: 72 registers, no spills, 49 KiB of shared memory.
#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.h"

namespace longhaul::cuda {
namespace {

constexpr int kChannels = 32, kLanes = 4, kScanThreads = kChannels * kLanes, kTokens = 32;
// Staging: a thread has eight neighbouring channels of one token.
constexpr int kRun = 8, kRuns = kChannels / kRun;
static_assert(kTokens * kRuns == kScanThreads);

/** Cells of a tile. Pairs of a run are exchanged by run and token, and rows lie 16 banks apart, so that no two threads meet. */
struct Cells {
  Float2 cells[kTokens][kChannels + 8];
  /** The cell of `column`, which is even, and the next. */
  static __device__ int place(int t, int column) { return column ^ (2 * (column / (2 * kRun) + 2 * (t & 1))); }
  __device__ void put(int t, int column, Float2 left, Float2 right) {
    *reinterpret_cast<Float4*>(&cells[t][place(t, column)]) = {left.x, left.y, right.x, right.y};
  }
  __device__ const Float2& at(int t, int column) const { return cells[t][place(t, column)]; }
};

template <int S, bool BF16>
struct ScanShared {
  static constexpr int kWide = BF16 ? 1 : 2;  // copies of a run of u, or of z; dt takes two
  Quad raw[2][2 + 2 * kWide][kScanThreads];
  alignas(16) float bc[2][kTokens][2][kLanes * S];
  alignas(16) Cells delta;  // delta, delta u
  alignas(16) Cells gate;   // u, silu(z)
  alignas(16) float y[kTokens][kChannels + 8];
};

/** Eight floats of one or two copies. */
template <bool BF16>
LONGHAUL_DEVICE void unpack(const Quad* from, int stride, float (&to)[kRun]) {
  LONGHAUL_UNROLL
  for (int half = 0; half < (BF16 ? 1 : 2); ++half) {
    const Quad q = from[half * stride];
    const uint32_t words[4] = {q.x, q.y, q.z, q.w};
    LONGHAUL_UNROLL
    for (int i = 0; i < 4; ++i) {
      if (BF16) {
        to[2 * i] = low_of(words[i]);
        to[2 * i + 1] = high_of(words[i]);
      } else {
        to[4 * half + i] = float_of(words[i]);
      }
    }
  }
}

template <int S>
LONGHAUL_DEVICE void load_states(const float* from, float (&to)[S]) {
  if constexpr (S % 4 == 0) {
    LONGHAUL_UNROLL
    for (int s = 0; s < S; s += 4) {
      const Float4 v = *reinterpret_cast<const Float4*>(from + s);
      to[s] = v.x, to[s + 1] = v.y, to[s + 2] = v.z, to[s + 3] = v.w;
    }
  } else {
    LONGHAUL_UNROLL
    for (int s = 0; s < S; ++s) to[s] = from[s];
  }
}

template <int S, bool BF16>
struct Scan {
  using Args = ScanArgs;
  using Shared = ScanShared<S, BF16>;
  static constexpr int kThreads = kScanThreads;
  static constexpr const char* kName = "selective_scan";

  static __device__ int run_token() { return thread_id() / kRuns; }
  static __device__ int run_column() { return thread_id() % kRuns * kRun; }
  static __device__ const void* place(const Typed& rows, size_t at) {
    return static_cast<const char*>(rows.data) + at * (BF16 ? 2 : 4);
  }

  static constexpr int kCells = kTokens * 2 * S;  // of B and C in a tile, 16 bytes each: S of a row's B, then S of its C
  static constexpr int kOwnCells = (kCells + kThreads - 1) / kThreads, kCellTokens = kThreads / (2 * S);

  /** Where this thread's part of the next tile lies: eight channels of dt, u and z of one token, and cells of B and C. */
  struct Sources {
    const float* dt;
    const char *u, *z;
    const float* bc;
    size_t dt_step, u_step, z_step, bc_row;  // from tile to tile; bc_row from token to token
    bool channel_inside, bc_inside;

    __device__ Sources(const Args& a, const Span& span) {
      const int channel = block_x() * kChannels + run_column();
      const size_t row = size_t(span.row + run_token());
      channel_inside = channel < a.d_inner;
      dt = a.dt + row * a.lddt + channel;
      u = static_cast<const char*>(place(a.u, row * a.u.ld + channel));
      z = static_cast<const char*>(place(a.z, row * a.z.ld + channel));
      const size_t bytes = kTokens * (BF16 ? 2 : 4);
      dt_step = size_t(kTokens) * a.lddt, u_step = bytes * a.u.ld, z_step = bytes * a.z.ld;
      const bool is_c = thread_id() / S % 2;
      const int n = thread_id() % S * 4;
      bc_row = is_c ? a.ldc : a.ldb;
      bc_inside = n < padded(a.w.d_state) && thread_id() < kCells;
      bc = (is_c ? a.c : a.b) + size_t(span.row + thread_id() / (2 * S)) * bc_row + n;
    }
  };

  /** Begins to copy the next tile, which has `rows` tokens; zeros beyond. One group, empty where there are no rows. */
  static __device__ void copy_tile(Shared& shared, Sources& from, int rows, int stage) {
    constexpr int kWide = Shared::kWide;
    if (rows > 0) {
      const bool inside = run_token() < rows && from.channel_inside;
      LONGHAUL_UNROLL
      for (int i = 0; i < 2; ++i) copy_async(&shared.raw[stage][i][thread_id()], from.dt + 4 * i, inside);
      LONGHAUL_UNROLL
      for (int i = 0; i < kWide; ++i) {
        copy_async(&shared.raw[stage][2 + i][thread_id()], from.u + 16 * i, inside);
        copy_async(&shared.raw[stage][2 + kWide + i][thread_id()], from.z + 16 * i, inside);
      }
      float* const bc = &shared.bc[stage][0][0][0] + 4 * thread_id();
      LONGHAUL_UNROLL
      for (int i = 0; i < kOwnCells; ++i)
        if (kCells % kThreads == 0 || thread_id() < kCells)
          copy_async(bc + 4 * i * kThreads, from.bc + i * kCellTokens * from.bc_row, from.bc_inside && thread_id() / (2 * S) + i * kCellTokens < rows);
      from.dt += from.dt_step, from.u += from.u_step, from.z += from.z_step, from.bc += kTokens * from.bc_row;
    }
    commit_copies();
  }

  /** What this thread copied: delta and the gate of eight channels of a token. */
  static __device__ void prepare(Shared& shared, const float (&bias)[kRun], int stage) {
    float dt[kRun], u[kRun], z[kRun];
    unpack<false>(&shared.raw[stage][0][thread_id()], kThreads, dt);
    unpack<BF16>(&shared.raw[stage][2][thread_id()], kThreads, u);
    unpack<BF16>(&shared.raw[stage][2 + Shared::kWide][thread_id()], kThreads, z);
    LONGHAUL_UNROLL
    for (int i = 0; i < kRun; i += 2) {
      const float left = softplus(add(dt[i], bias[i])), right = softplus(add(dt[i + 1], bias[i + 1]));
      shared.delta.put(run_token(), run_column() + i, {left, multiply(left, u[i])}, {right, multiply(right, u[i + 1])});
      shared.gate.put(run_token(), run_column() + i, {u[i], silu(z[i])}, {u[i + 1], silu(z[i + 1])});
    }
  }

  /** Tokens [t, t + 4) through this lane's states; those from `rows` on leave the states alone. */
  template <bool kTail>
  static __device__ void four_tokens(Shared& shared, int stage, int t, int rows, const float (&rate)[S], float d, float (&h)[S]) {
    const int column = thread_id() / kLanes, lane = thread_id() % kLanes;
    float sum[4];
    LONGHAUL_UNROLL
    for (int j = 0; j < 4; ++j) {
      const Float2 cell = shared.delta.at(t + j, column);
      float b[S], c[S], p = 0.0f;
      load_states<S>(&shared.bc[stage][t + j][0][lane * S], b);
      load_states<S>(&shared.bc[stage][t + j][1][lane * S], c);
      LONGHAUL_UNROLL
      for (int s = 0; s < S; ++s) {
        const float next = fma(exp2_fast(multiply(cell.x, rate[s])), h[s], multiply(cell.y, b[s]));
        h[s] = kTail && t + j >= rows ? h[s] : next;
        p = fma(h[s], c[s], p);
      }
      sum[j] = p;
    }
    const bool odd = lane & 1, upper = lane & 2;
    const float even_pair = add(odd ? sum[1] : sum[0], shuffle_xor(odd ? sum[0] : sum[1], 1));
    const float odd_pair = add(odd ? sum[3] : sum[2], shuffle_xor(odd ? sum[2] : sum[3], 1));
    const float mine = add(upper ? odd_pair : even_pair, shuffle_xor(upper ? even_pair : odd_pair, 2));
    const Float2 gate = shared.gate.at(t + lane, column);
    shared.y[t + lane][column] = multiply(fma(d, gate.x, mine), gate.y);
  }

  /** The tile's y, eight channels a thread. What the next tile overwrites before the next barrier is not y. */
  static __device__ void write(const Shared& shared, const Args& a, int row, int rows) {
    const int channel = block_x() * kChannels + run_column();
    if (channel >= a.d_inner || run_token() >= rows) return;
    float y[kRun];
    load_states<kRun>(&shared.y[run_token()][run_column()], y);
    const size_t at = size_t(row + run_token()) * a.y.ld + channel;
    if (BF16) {
      *reinterpret_cast<Quad*>(static_cast<uint16_t*>(a.y.data) + at) = {to_bf16_pair(y[0], y[1]), to_bf16_pair(y[2], y[3]),
                                                                          to_bf16_pair(y[4], y[5]), to_bf16_pair(y[6], y[7])};
    } else {
      Float4* const to = reinterpret_cast<Float4*>(static_cast<float*>(a.y.data) + at);
      to[0] = {y[0], y[1], y[2], y[3]};
      to[1] = {y[4], y[5], y[6], y[7]};
    }
  }

  static __device__ void run(Shared& shared, const Args& a) {
    const Span span = a.spans[block_y()];
    const int column = thread_id() / kLanes, lane = thread_id() % kLanes;
    const int channel = block_x() * kChannels + column;
    const bool inside = channel < a.d_inner;
    float* const state = span.state + a.state_offset;
    const auto rows_from = [&](int first) { return span.rows - first < kTokens ? span.rows - first : kTokens; };

    Sources sources(a, span);
    copy_tile(shared, sources, rows_from(0), 0);
    float h[S], rate[S], bias[kRun];
    LONGHAUL_UNROLL
    for (int s = 0; s < S; ++s) {
      const int n = lane * S + s;
      const bool real = inside && n < a.w.d_state;
      h[s] = real ? state[state_index(channel, n, a.w.d_state)] : 0.0f;
      rate[s] = real ? a.w.a_log2e[state_index(channel, n, a.w.d_state)] : 0.0f;
    }
    const float d = inside ? a.w.d[channel] : 0.0f;
    LONGHAUL_UNROLL
    for (int i = 0; i < kRun; ++i) {
      const int own = block_x() * kChannels + run_column() + i;
      bias[i] = own < a.d_inner ? a.w.dt_bias[own] : 0.0f;
    }

    int stage = 0;
    for (int first = 0; first < span.rows; first += kTokens, stage ^= 1) {
      const int rows = rows_from(first);
      copy_tile(shared, sources, rows_from(first + kTokens), stage ^ 1);
      wait_copies<1>();
      prepare(shared, bias, stage);
      sync_block();
      if (rows == kTokens) {
        LONGHAUL_UNROLL
        for (int t = 0; t < kTokens; t += 4) four_tokens<false>(shared, stage, t, rows, rate, d, h);
      } else {
        for (int t = 0; t < rows; t += 4) four_tokens<true>(shared, stage, t, rows, rate, d, h);
      }
      sync_block();
      write(shared, a, span.row + first, rows);
    }
    LONGHAUL_UNROLL
    for (int s = 0; s < S; ++s) {
      const int n = lane * S + s;
      if (inside && n < a.w.d_state) state[state_index(channel, n, a.w.d_state)] = h[s];
    }
  }
};

template <int S>
void launch_scan(Stream& stream, const ScanArgs& args, int spans) {
  const Grid grid{(args.d_inner + kChannels - 1) / kChannels, spans};
  if (args.u.bf16) return launch<Scan<S, true>>(stream, grid, args);
  launch<Scan<S, false>>(stream, grid, args);
}

}  // namespace

void selective_scan(Stream& stream, const ScanArgs& args, int spans) {
  const int states = (args.w.d_state + kLanes - 1) / kLanes;
  if (states <= 1) return launch_scan<1>(stream, args, spans);
  if (states <= 2) return launch_scan<2>(stream, args, spans);
  if (states <= 4) return launch_scan<4>(stream, args, spans);
  if (states <= 8) return launch_scan<8>(stream, args, spans);
  if (states <= 16) return launch_scan<16>(stream, args, spans);
  throw DeviceError("selective_scan: no kernel for " + std::to_string(args.w.d_state) + " states");
}

}  // namespace longhaul::cuda
