// out = weight * x / sqrt(mean(x^2) + eps), a block a row. x fp32, out fp32 (may be x) or bf16. Columns up to the padded
// width are written; x is zero there. Memory-bound.
#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/reduce.h"

namespace longhaul::cuda {
namespace {

/** N threads a row: few for the narrow rows of dt, B and C. */
template <int N>
struct RmsNorm {
  using Args = NormArgs;
  using Shared = ReduceShared<N>;
  static constexpr int kThreads = N;
  static constexpr const char* kName = "rms_norm";
  static __device__ void run(Shared& shared, const Args& a) {
    const int width = padded(a.width);
    const float* const x = a.x + size_t(block_x()) * a.ldx;
    float squares = 0.0f;
    for (int i = thread_id(); i < width; i += N) squares = fma(x[i], x[i], squares);
    const float sum = reduce_block<N>(shared, squares, Plus());
    const float scale = divide(1.0f, root(add(divide(sum, float(a.width)), a.eps)));
    for (int i = thread_id(); i < width; i += N) {
      const float y = multiply(multiply(x[i], scale), a.weight ? a.weight[i] : 1.0f);
      const size_t at = size_t(block_x()) * a.out.ld + i;
      if (a.out.bf16)
        static_cast<uint16_t*>(a.out.data)[at] = to_bf16(y);
      else
        static_cast<float*>(a.out.data)[at] = y;
    }
  }
};

}  // namespace

void rms_norm(Stream& stream, const NormArgs& args, int rows) {
  if (args.width <= 512)
    launch<RmsNorm<32>>(stream, {rows}, args);
  else
    launch<RmsNorm<256>>(stream, {rows}, args);
}

}  // namespace longhaul::cuda
