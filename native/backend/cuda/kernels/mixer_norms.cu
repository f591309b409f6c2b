// The three norms, without weights, of x_proj's rows: dt into the element that dt_proj reads, B and C in place.
//
//   v / sqrt(mean(v^2) + eps)      over dt_rank, d_state and d_state columns
//
// A warp a row. Columns up to the padded widths are written. Memory-bound,
// and small: its launches are what it saves.
#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.h"

namespace longhaul::cuda {
namespace {

constexpr int kNormWarps = 4;

struct MixerNorms {
  using Args = MixerNormsArgs;
  using Shared = NoShared;
  static constexpr int kThreads = 32 * kNormWarps;
  static constexpr const char* kName = "mixer_norms";

  static __device__ float scale_of(const float* x, int width, float eps) {
    float squares = 0.0f;
    for (int i = thread_id() % 32; i < padded(width); i += 32) squares = fma(x[i], x[i], squares);
    LONGHAUL_UNROLL
    for (int mask = 16; mask > 0; mask /= 2) squares = add(squares, shuffle_xor(squares, mask));
    return divide(1.0f, root(add(divide(squares, float(width)), eps)));
  }

  static __device__ void run(Shared&, const Args& a) {
    const int row = block_x() * kNormWarps + thread_id() / 32;
    if (row >= a.rows) return;
    const size_t at = size_t(row) * a.ld;
    const float scale = scale_of(a.dt + at, a.dt_rank, a.eps);
    for (int i = thread_id() % 32; i < padded(a.dt_rank); i += 32) {
      const float y = multiply(a.dt[at + i], scale);
      if (a.dt_in.bf16)
        static_cast<uint16_t*>(a.dt_in.data)[size_t(row) * a.dt_in.ld + i] = to_bf16(y);
      else
        static_cast<float*>(a.dt_in.data)[size_t(row) * a.dt_in.ld + i] = y;
    }
    for (float* const x : {a.b + at, a.c + at}) {
      const float own = scale_of(x, a.d_state, a.eps);
      for (int i = thread_id() % 32; i < padded(a.d_state); i += 32) x[i] = multiply(x[i], own);
    }
  }
};

}  // namespace

void mixer_norms(Stream& stream, const MixerNormsArgs& args) {
  launch<MixerNorms>(stream, {(args.rows + kNormWarps - 1) / kNormWarps}, args);
}

}  // namespace longhaul::cuda
