// out[i] = table[tokens[i]], upcast to fp32, and gather, its twin on rows of activations. A block a row. Memory-bound.
// They follow a copy of what they read, so they wait for all before them; the norm behind them need not.
#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.h"
#include "backend/math/convert.h"

namespace longhaul::cuda {
namespace {

struct Embed {
  using Args = EmbedArgs;
  using Shared = NoShared;
  static constexpr int kThreads = 256;
  static constexpr const char* kName = "embed";
  static __device__ void run(Shared&, const Args& a) {
    let_next_start();
    const size_t from = size_t(a.tokens[block_x()]) * a.width;
    float* const out = a.out + size_t(block_x()) * a.ld;
    for (int i = thread_id(); i < a.ld; i += kThreads)
      out[i] = i < a.width ? math::element(a.table, a.dtype, from + i) : 0.0f;
  }
};

struct Gather {
  using Args = GatherArgs;
  using Shared = NoShared;
  static constexpr int kThreads = 256;
  static constexpr const char* kName = "gather";
  static __device__ void run(Shared&, const Args& a) {
    let_next_start();
    const float* const x = a.x + size_t(a.source[block_x()]) * a.ldx;
    float* const out = a.out + size_t(block_x()) * a.ld;
    for (int i = 4 * thread_id(); i < a.width; i += 4 * kThreads)
      *reinterpret_cast<Float4*>(out + i) = *reinterpret_cast<const Float4*>(x + i);
  }
};

}  // namespace

void embed(Stream& stream, const EmbedArgs& args, int rows) { launch<Embed>(stream, {rows}, args); }
void gather(Stream& stream, const GatherArgs& args, int rows) { launch<Gather>(stream, {rows}, args); }

}  // namespace longhaul::cuda
