// Causal depthwise convolution with SiLU, continuing from the conv state of each span and updating it.
//
//   u[t,i] = silu(bias[i] + sum_k w[k,i] x[t - (d_conv-1) + k, i])      x[-j] = the state's columns
//
// A thread has two neighbouring channels and walks a tile of rows with the last taps in registers. The columns before a tile
// are the rows before it, or the state at a span's start. The end of a span's only tile writes its state; of spans with more
// tiles a second kernel does, since the first tile may still read it. Memory-bound.
#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.h"

namespace longhaul::cuda {
namespace {

constexpr int kConvThreads = 128;

struct Two {
  float a, b;
};

LONGHAUL_DEVICE Two load_two(const Typed& rows, int row, int channel) {
  const size_t at = size_t(row) * rows.ld + channel;
  if (rows.bf16) {
    const uint32_t pair = *reinterpret_cast<const uint32_t*>(static_cast<const uint16_t*>(rows.data) + at);
    return {low_of(pair), high_of(pair)};
  }
  const float* const x = static_cast<const float*>(rows.data) + at;
  return {x[0], x[1]};
}

LONGHAUL_DEVICE void store_two(const Typed& rows, int row, int channel, Two v) {
  const size_t at = size_t(row) * rows.ld + channel;
  if (rows.bf16) {
    *reinterpret_cast<uint32_t*>(static_cast<uint16_t*>(rows.data) + at) = to_bf16_pair(v.a, v.b);
  } else {
    float* const x = static_cast<float*>(rows.data) + at;
    x[0] = v.a;
    x[1] = v.b;
  }
}

template <int TAPS>
struct Conv {
  using Args = ConvArgs;
  using Shared = NoShared;
  static constexpr int kThreads = kConvThreads, kHistory = TAPS - 1;
  static constexpr const char* kName = "causal_conv1d";
  static __device__ void run(Shared&, const Args& a) {
    const int channel = 2 * (block_x() * kThreads + thread_id());
    if (channel >= a.d_inner) return;
    const ConvTile tile = a.tiles[block_y()];
    const Span span = a.spans[tile.span];
    float* const state = span.state + a.state_offset + channel;
    const int first = span.row + tile.first;

    Two window[TAPS], weight[TAPS];
    LONGHAUL_UNROLL
    for (int k = 0; k < TAPS; ++k) weight[k] = {a.w.weight[size_t(k) * a.d_inner + channel], a.w.weight[size_t(k) * a.d_inner + channel + 1]};
    LONGHAUL_UNROLL
    for (int k = 0; k < kHistory; ++k)
      window[k] = tile.first > 0 ? load_two(a.x, first - kHistory + k, channel)
                                 : Two{state[size_t(k) * a.d_inner], state[size_t(k) * a.d_inner + 1]};
    const Two bias = {a.w.bias[channel], a.w.bias[channel + 1]};
    for (int t = 0; t < tile.rows; ++t) {
      window[kHistory] = load_two(a.x, first + t, channel);
      Two sum = bias;
      LONGHAUL_UNROLL
      for (int k = 0; k < TAPS; ++k) sum = {fma(weight[k].a, window[k].a, sum.a), fma(weight[k].b, window[k].b, sum.b)};
      store_two(a.u, first + t, channel, {silu(sum.a), silu(sum.b)});
      LONGHAUL_UNROLL
      for (int k = 0; k < kHistory; ++k) window[k] = window[k + 1];
    }
    if (tile.rows < span.rows) return;
    LONGHAUL_UNROLL
    for (int k = 0; k < kHistory; ++k) {
      state[size_t(k) * a.d_inner] = window[k].a;
      state[size_t(k) * a.d_inner + 1] = window[k].b;
    }
  }
};

/** The last columns of spans of more than one tile, which is more rows than a state has columns. */
struct ConvState {
  using Args = ConvArgs;
  using Shared = NoShared;
  static constexpr int kThreads = kConvThreads;
  static constexpr const char* kName = "conv_state";
  static __device__ void run(Shared&, const Args& a) {
    const int channel = 2 * (block_x() * kThreads + thread_id());
    const Span span = a.spans[block_y()];
    if (channel >= a.d_inner || span.rows <= kConvTileRows) return;
    const int history = a.w.d_conv - 1;
    float* const state = span.state + a.state_offset + channel;
    for (int k = 0; k < history; ++k) {
      const Two v = load_two(a.x, span.row + span.rows - history + k, channel);
      state[size_t(k) * a.d_inner] = v.a;
      state[size_t(k) * a.d_inner + 1] = v.b;
    }
  }
};

}  // namespace

void causal_conv1d(Stream& stream, const ConvArgs& args, int tiles, int spans, bool long_spans) {
  static_assert(kConvTileRows >= kMostTaps);
  const int columns = (args.d_inner / 2 + kConvThreads - 1) / kConvThreads;
  switch (args.w.d_conv) {
    case 1: launch<Conv<1>>(stream, {columns, tiles}, args); break;
    case 2: launch<Conv<2>>(stream, {columns, tiles}, args); break;
    case 3: launch<Conv<3>>(stream, {columns, tiles}, args); break;
    case 4: launch<Conv<4>>(stream, {columns, tiles}, args); break;
    case 5: launch<Conv<5>>(stream, {columns, tiles}, args); break;
    case 6: launch<Conv<6>>(stream, {columns, tiles}, args); break;
    case 7: launch<Conv<7>>(stream, {columns, tiles}, args); break;
    case 8: launch<Conv<8>>(stream, {columns, tiles}, args); break;
    default: throw DeviceError("causal_conv1d: no kernel for " + std::to_string(args.w.d_conv) + " taps");
  }
  if (long_spans) launch<ConvState>(stream, {columns, spans}, args);
}

}  // namespace longhaul::cuda
