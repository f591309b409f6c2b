// out = weight * x / sqrt(mean(x^2) + eps), a block a row. x fp32, out fp32 (may be x) or bf16. Columns up to the padded
// width are written; x is zero there. A thread has four columns at a time; the second pass finds x in the first-level cache.
// Memory-bound.
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
    for (int i = 4 * thread_id(); i < width; i += 4 * N) {
      const Float4 v = *reinterpret_cast<const Float4*>(x + i);
      squares = fma(v.w, v.w, fma(v.z, v.z, fma(v.y, v.y, fma(v.x, v.x, squares))));
    }
    const float sum = reduce_block<N>(shared, squares, Plus());
    const float scale = divide(1.0f, root(add(divide(sum, float(a.width)), a.eps)));
    for (int i = 4 * thread_id(); i < width; i += 4 * N) {
      const Float4 v = *reinterpret_cast<const Float4*>(x + i);
      const Float4 w = a.weight ? *reinterpret_cast<const Float4*>(a.weight + i) : Float4{1.0f, 1.0f, 1.0f, 1.0f};
      const Float4 y = {multiply(multiply(v.x, scale), w.x), multiply(multiply(v.y, scale), w.y),
                        multiply(multiply(v.z, scale), w.z), multiply(multiply(v.w, scale), w.w)};
      const size_t at = size_t(block_x()) * a.out.ld + i;
      if (a.out.bf16)
        *reinterpret_cast<Pair*>(static_cast<uint16_t*>(a.out.data) + at) = {to_bf16_pair(y.x, y.y), to_bf16_pair(y.z, y.w)};
      else
        *reinterpret_cast<Float4*>(static_cast<float*>(a.out.data) + at) = y;
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
