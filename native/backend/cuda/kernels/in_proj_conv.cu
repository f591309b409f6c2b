// in_proj of a decode block with the convolution's step at its end, by the tiles of mma_tile.h.
//
//   [x | z] = W normed + bias
//   u[i]    = silu(conv_bias[i] + sum_k w[k,i] x~[k,i])      x~ = the state's d_conv - 1 columns, then x
//   state   = the last d_conv - 1 columns of x~
//
// A cell of the tile is one channel of one token, and a token is a sequence of its own: whoever has x has all that the
// channel's step needs. z is stored as it is; x goes nowhere but into the state. Bound by reading W.
#include "backend/cuda/kernels/mma_tile.h"

namespace longhaul::cuda {
namespace {

struct ConvStep {
  using Args = InProjConvArgs;
  static constexpr const char* kName = "in_proj_conv";
  static __device__ void expect(const Args& a, int row, int token) {
    if (row >= a.d_inner) return;
    const float* const state = a.spans[token].state + a.state_offset + row;
    ask_for(a.conv.bias + row);
    for (int k = 0; k < a.conv.d_conv; ++k) {
      ask_for(a.conv.weight + size_t(k) * a.d_inner + row);
      if (k + 1 < a.conv.d_conv) ask_for(state + size_t(k) * a.d_inner);
    }
  }
  static __device__ void store(const Args& a, int row, int token, float sum) {
    const uint16_t rounded = to_bf16(sum);
    if (row >= a.d_inner) {
      static_cast<uint16_t*>(a.y.data)[size_t(token) * a.y.ld + row] = rounded;
      return;
    }
    const int history = a.conv.d_conv - 1;
    float* const state = a.spans[token].state + a.state_offset + row;
    float column[kMostTaps];
    LONGHAUL_UNROLL
    for (int k = 0; k < kMostTaps - 1; ++k) column[k] = k < history ? state[size_t(k) * a.d_inner] : 0.0f;
    const float x = from_bf16(rounded);
    float c = a.conv.bias[row];
    LONGHAUL_UNROLL
    for (int k = 0; k < kMostTaps - 1; ++k) {
      if (k >= history) break;
      c = fma(a.conv.weight[size_t(k) * a.d_inner + row], column[k], c);
      if (k > 0) state[size_t(k - 1) * a.d_inner] = column[k];
    }
    c = fma(a.conv.weight[size_t(history) * a.d_inner + row], x, c);
    if (history > 0) state[size_t(history - 1) * a.d_inner] = x;
    static_cast<uint16_t*>(a.u.data)[size_t(token) * a.u.ld + row] = to_bf16(silu(c));
  }
};

}  // namespace

void in_proj_conv(Stream& stream, const InProjConvArgs& args) { launch_mma<ConvStep>(stream, args); }

}  // namespace longhaul::cuda
