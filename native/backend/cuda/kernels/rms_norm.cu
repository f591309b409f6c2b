// out = weight * x / sqrt(mean(x^2) + eps), a block a row. x fp32, out fp32 (may be x) or bf16. Columns up to the padded
// width are written; x is zero there. A thread has four columns at a time, and keeps the first sixteen: of wider rows the second pass
// finds x in the first-level cache. Weights are read before the launch before this one has ended (launch.h). Memory-bound; of one
// row, bound by how long it takes to read x, add up its squares and write.
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
  static constexpr bool kOverlaps = true;
  static constexpr int kKept = 4, kStep = 4 * N;

  static __device__ void run(Shared& shared, const Args& a) {
    let_next_start();
    const int width = padded(a.width), first = 4 * thread_id();
    Float4 w[kKept], v[kKept];
    LONGHAUL_UNROLL
    for (int i = 0; i < kKept; ++i)
      if (first + i * kStep < width) w[i] = weight_at(a, first + i * kStep);
    wait_for_previous();
    const float* const x = a.x + size_t(block_x()) * a.ldx;
    LONGHAUL_UNROLL
    for (int i = 0; i < kKept; ++i)
      if (first + i * kStep < width) v[i] = four_at(x + first + i * kStep);

    float squares = 0.0f;
    LONGHAUL_UNROLL
    for (int i = 0; i < kKept; ++i)
      if (first + i * kStep < width) squares = add_squares(v[i], squares);
    for (int at = first + kKept * kStep; at < width; at += kStep) squares = add_squares(four_at(x + at), squares);
    const float sum = reduce_block<N>(shared, squares, Plus());
    const float scale = divide(1.0f, root(add(divide(sum, float(a.width)), a.eps)));
    LONGHAUL_UNROLL
    for (int i = 0; i < kKept; ++i)
      if (first + i * kStep < width) store(a, first + i * kStep, v[i], w[i], scale);
    for (int at = first + kKept * kStep; at < width; at += kStep) store(a, at, four_at(x + at), weight_at(a, at), scale);
  }

  static __device__ Float4 four_at(const float* p) { return *reinterpret_cast<const Float4*>(p); }
  static __device__ Float4 weight_at(const Args& a, int column) {
    return a.weight ? four_at(a.weight + column) : Float4{1.0f, 1.0f, 1.0f, 1.0f};
  }
  static __device__ float add_squares(const Float4& v, float sum) { return fma(v.w, v.w, fma(v.z, v.z, fma(v.y, v.y, fma(v.x, v.x, sum)))); }
  static __device__ void store(const Args& a, int column, const Float4& v, const Float4& w, float scale) {
    const Float4 y = {multiply(multiply(v.x, scale), w.x), multiply(multiply(v.y, scale), w.y), multiply(multiply(v.z, scale), w.z),
                      multiply(multiply(v.w, scale), w.w)};
    const size_t at = size_t(block_x()) * a.out.ld + column;
    if (a.out.bf16)
      *reinterpret_cast<Pair*>(static_cast<uint16_t*>(a.out.data) + at) = {to_bf16_pair(y.x, y.y), to_bf16_pair(y.z, y.w)};
    else
      *reinterpret_cast<Float4*>(static_cast<float*>(a.out.data) + at) = y;
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
