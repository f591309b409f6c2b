// out[i] = table[tokens[i]], upcast to fp32, and gather, its twin on rows of activations. A block a row. Memory-bound.
#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.h"

namespace longhaul::cuda {
namespace {

LONGHAUL_DEVICE float from_f16(uint16_t x) {
  const uint32_t sign = uint32_t(x & 0x8000) << 16, exponent = x >> 10 & 31, mantissa = x & 1023;
  if (exponent == 0) return float_of(bits_of(multiply(float(mantissa), 0x1p-24f)) | sign);
  if (exponent == 31) return float_of(sign | 0x7f800000u | mantissa << 13);
  return float_of(sign | (exponent + 112) << 23 | mantissa << 13);
}

struct Embed {
  using Args = EmbedArgs;
  using Shared = NoShared;
  static constexpr int kThreads = 256;
  static constexpr const char* kName = "embed";
  static __device__ void run(Shared&, const Args& a) {
    const size_t from = size_t(a.tokens[block_x()]) * a.width;
    float* const out = a.out + size_t(block_x()) * a.ld;
    for (int i = thread_id(); i < a.ld; i += kThreads) {
      float x = 0.0f;
      if (i < a.width)
        x = a.dtype == Dtype::f32    ? static_cast<const float*>(a.table)[from + i]
            : a.dtype == Dtype::bf16 ? from_bf16(static_cast<const uint16_t*>(a.table)[from + i])
                                     : from_f16(static_cast<const uint16_t*>(a.table)[from + i]);
      out[i] = x;
    }
  }
};

struct Gather {
  using Args = GatherArgs;
  using Shared = NoShared;
  static constexpr int kThreads = 256;
  static constexpr const char* kName = "gather";
  static __device__ void run(Shared&, const Args& a) {
    const float* const x = a.x + size_t(a.source[block_x()]) * a.ldx;
    float* const out = a.out + size_t(block_x()) * a.ld;
    for (int i = thread_id(); i < a.width; i += kThreads) out[i] = x[i];
  }
};

}  // namespace

void embed(Stream& stream, const EmbedArgs& args, int rows) { launch<Embed>(stream, {rows}, args); }
void gather(Stream& stream, const GatherArgs& args, int rows) { launch<Gather>(stream, {rows}, args); }

}  // namespace longhaul::cuda
