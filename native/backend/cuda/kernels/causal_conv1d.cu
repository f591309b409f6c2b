// Causal depthwise convolution with SiLU, continuing from the conv state of each span and updating it.
//
//   u[t,i] = silu(bias[i] + sum_k w[k,i] x[t - (d_conv-1) + k, i])      x[-j] = the state's columns
//
// A thread has eight neighbouring channels, 16 bytes of bf16, and walks a tile of rows with the last taps in registers, four
// rows on their way at a time. The columns before a tile are the rows before it, or the state at a span's start. The end of a
// span's only tile writes its state; of spans with more tiles a second kernel does, since the first tile may still read it.
// Memory-bound: x is read and u written once, and d_conv - 1 rows a tile are read twice.
// A thread's eight fp32 (states, weights) are two accesses, each of which touches half of every sector that it names: caches even that out.
// sm_90a, 4 taps: 137 registers, no spills.
#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.h"

namespace longhaul::cuda {
namespace {

constexpr int kConvThreads = 128, kRun = 8, kRowsAhead = 4;

LONGHAUL_DEVICE void load_floats(const float* from, float (&to)[kRun]) {
  LONGHAUL_UNROLL
  for (int half = 0; half < 2; ++half) {
    const Float4 v = reinterpret_cast<const Float4*>(from)[half];
    to[4 * half] = v.x, to[4 * half + 1] = v.y, to[4 * half + 2] = v.z, to[4 * half + 3] = v.w;
  }
}
LONGHAUL_DEVICE void store_floats(float* to, const float (&v)[kRun]) {
  reinterpret_cast<Float4*>(to)[0] = {v[0], v[1], v[2], v[3]};
  reinterpret_cast<Float4*>(to)[1] = {v[4], v[5], v[6], v[7]};
}

LONGHAUL_DEVICE void load_run(const Typed& rows, int row, int channel, float (&to)[kRun]) {
  const size_t at = size_t(row) * rows.ld + channel;
  if (!rows.bf16) return load_floats(static_cast<const float*>(rows.data) + at, to);
  const Quad v = *reinterpret_cast<const Quad*>(static_cast<const uint16_t*>(rows.data) + at);
  const uint32_t words[4] = {v.x, v.y, v.z, v.w};
  LONGHAUL_UNROLL
  for (int i = 0; i < 4; ++i) {
    to[2 * i] = low_of(words[i]);
    to[2 * i + 1] = high_of(words[i]);
  }
}

LONGHAUL_DEVICE void store_run(const Typed& rows, int row, int channel, const float (&v)[kRun]) {
  const size_t at = size_t(row) * rows.ld + channel;
  if (!rows.bf16) return store_floats(static_cast<float*>(rows.data) + at, v);
  *reinterpret_cast<Quad*>(static_cast<uint16_t*>(rows.data) + at) = {to_bf16_pair(v[0], v[1]), to_bf16_pair(v[2], v[3]),
                                                                      to_bf16_pair(v[4], v[5]), to_bf16_pair(v[6], v[7])};
}

template <int TAPS>
struct Conv {
  using Args = ConvArgs;
  using Shared = NoShared;
  static constexpr int kThreads = kConvThreads, kHistory = TAPS - 1, kWindow = kHistory + kRowsAhead;
  static constexpr const char* kName = "causal_conv1d";

  template <int BY>
  static __device__ void shift(float (&window)[kWindow][kRun]) {
    LONGHAUL_UNROLL
    for (int k = 0; k < kHistory; ++k)
      LONGHAUL_UNROLL
      for (int i = 0; i < kRun; ++i) window[k][i] = window[k + BY][i];
  }

  static __device__ void run(Shared&, const Args& a) {
    const int channel = kRun * (block_x() * kThreads + thread_id());
    if (channel >= a.d_inner) return;
    const ConvTile tile = a.tiles[block_y()];
    const Span span = a.spans[tile.span];
    float* const state = span.state + a.state_offset + channel;
    const int first = span.row + tile.first;

    float window[kWindow][kRun], weight[TAPS][kRun], bias[kRun];
    LONGHAUL_UNROLL
    for (int k = 0; k < kHistory; ++k) {
      if (tile.first > 0)
        load_run(a.x, first - kHistory + k, channel, window[k]);
      else
        load_floats(state + size_t(k) * a.d_inner, window[k]);
    }
    LONGHAUL_UNROLL
    for (int k = 0; k < TAPS; ++k) load_floats(a.w.weight + size_t(k) * a.d_inner + channel, weight[k]);
    load_floats(a.w.bias + channel, bias);

    for (int t = 0; t < tile.rows; t += kRowsAhead) {
      const int rows = tile.rows - t;
      LONGHAUL_UNROLL
      for (int j = 0; j < kRowsAhead; ++j)
        if (j < rows) load_run(a.x, first + t + j, channel, window[kHistory + j]);
      LONGHAUL_UNROLL
      for (int j = 0; j < kRowsAhead; ++j) {
        if (j >= rows) break;
        float u[kRun];
        LONGHAUL_UNROLL
        for (int i = 0; i < kRun; ++i) {
          float sum = bias[i];
          LONGHAUL_UNROLL
          for (int k = 0; k < TAPS; ++k) sum = fma(weight[k][i], window[j + k][i], sum);
          u[i] = silu(sum);
        }
        store_run(a.u, first + t + j, channel, u);
      }
      static_assert(kRowsAhead == 4);
      if (rows >= 4)
        shift<4>(window);
      else if (rows == 3)
        shift<3>(window);
      else if (rows == 2)
        shift<2>(window);
      else
        shift<1>(window);
    }
    if (tile.rows < span.rows) return;
    LONGHAUL_UNROLL
    for (int k = 0; k < kHistory; ++k) store_floats(state + size_t(k) * a.d_inner, window[k]);
  }
};

/** The last columns of spans of more than one tile, which is more rows than a state has columns. */
struct ConvState {
  using Args = ConvArgs;
  using Shared = NoShared;
  static constexpr int kThreads = kConvThreads;
  static constexpr const char* kName = "conv_state";
  static __device__ void run(Shared&, const Args& a) {
    const int channel = kRun * (block_x() * kThreads + thread_id());
    const Span span = a.spans[block_y()];
    if (channel >= a.d_inner || span.rows <= kConvTileRows) return;
    const int history = a.w.d_conv - 1;
    float* const state = span.state + a.state_offset + channel;
    for (int k = 0; k < history; ++k) {
      float v[kRun];
      load_run(a.x, span.row + span.rows - history + k, channel, v);
      store_floats(state + size_t(k) * a.d_inner, v);
    }
  }
};

}  // namespace

void causal_conv1d(Stream& stream, const ConvArgs& args, int tiles, int spans, bool long_spans) {
  static_assert(kConvTileRows >= kMostTaps);
  const int columns = (args.d_inner / kRun + kConvThreads - 1) / kConvThreads;
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
