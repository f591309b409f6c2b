// y = W x + bias (or y += ...) in fp32: each output is one fma chain over k in increasing order. For checks, and for models
// that are stored in fp32 or f16: plain tiles of 16 x 16 outputs, far from what the device can do.
#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.h"

namespace longhaul::cuda {
namespace {

constexpr int kTile = 16;

struct LinearF32 {
  using Args = LinearArgs;
  struct Shared {
    float x[kTile][kTile + 1], w[kTile][kTile + 1];
  };
  static constexpr int kThreads = kTile * kTile;
  static constexpr const char* kName = "linear_f32";
  static __device__ void run(Shared& shared, const Args& a) {
    const int column = thread_id() % kTile, line = thread_id() / kTile;
    const int n = block_x() * kTile + column, m = block_y() * kTile + line;
    const float* const x = static_cast<const float*>(a.x.data);
    const float* const w = static_cast<const float*>(a.w.data);
    float sum = 0.0f;
    for (int k = 0; k < a.w.n_in; k += kTile) {
      const int row = block_x() * kTile + line;
      shared.x[line][column] = m < a.rows && k + column < a.w.n_in ? x[size_t(m) * a.x.ld + k + column] : 0.0f;
      shared.w[line][column] = row < a.w.n_out && k + column < a.w.n_in ? w[size_t(row) * a.w.n_in + k + column] : 0.0f;
      sync_block();
      for (int i = 0; i < kTile; ++i) sum = fma(shared.w[column][i], shared.x[line][i], sum);
      sync_block();
    }
    if (m >= a.rows || n >= a.w.n_out) return;
    if (a.bias) sum = add(sum, a.bias[n]);
    float* const y = static_cast<float*>(a.y.data) + size_t(m) * a.y.ld + n;
    *y = a.accumulate ? add(*y, sum) : sum;
  }
};

}  // namespace

void linear_f32(Stream& stream, const LinearArgs& args) {
  const auto tiles = [](int n) { return (n + kTile - 1) / kTile; };
  launch<LinearF32>(stream, {tiles(args.w.n_out), tiles(args.rows)}, args);
}

}  // namespace longhaul::cuda
