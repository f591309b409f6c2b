// Changes of representation: fp32 rows to bf16, weights to bf16, and the bias of a product that a library made. Memory-bound.
#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.h"

namespace longhaul::cuda {
namespace {

struct Convert {
  using Args = ConvertArgs;
  using Shared = NoShared;
  static constexpr int kThreads = 256;
  static constexpr const char* kName = "convert";
  static __device__ void run(Shared&, const Args& a) {
    const float* const x = a.x + size_t(block_x()) * a.ldx;
    uint16_t* const out = a.out + size_t(block_x()) * a.ld;
    for (int i = thread_id(); i < a.width; i += kThreads) out[i] = to_bf16(x[i]);
  }
};

struct DequantizeArgs {
  WeightView w;
  uint16_t* out;
};

/** A block a row, a thread two neighbours. */
struct Dequantize {
  using Args = DequantizeArgs;
  using Shared = NoShared;
  static constexpr int kThreads = 256;
  static constexpr const char* kName = "dequantize";
  static __device__ void run(Shared&, const Args& a) {
    const size_t row = size_t(block_x()) * a.w.n_in;
    uint32_t* const out = reinterpret_cast<uint32_t*>(a.out + row);
    for (int i = thread_id(); i < a.w.n_in / 2; i += kThreads) {
      if (a.w.dtype == Dtype::int8) {
        const int8_t* const q = static_cast<const int8_t*>(a.w.data) + row + 2 * i;
        const float scale = a.w.scales[block_x()];
        out[i] = to_bf16_pair(multiply(float(q[0]), scale), multiply(float(q[1]), scale));
      } else {
        const uint8_t pair = static_cast<const uint8_t*>(a.w.data)[row / 2 + i];
        const float scale = a.w.scales[(row + 2 * i) / a.w.block_size];
        out[i] = to_bf16_pair(multiply(a.w.code[pair >> 4], scale), multiply(a.w.code[pair & 15], scale));
      }
    }
  }
};

struct AddBias {
  using Args = BiasArgs;
  using Shared = NoShared;
  static constexpr int kThreads = 256;
  static constexpr const char* kName = "add_bias";
  static __device__ void run(Shared&, const Args& a) {
    const size_t row = size_t(block_x()) * a.y.ld;
    for (int i = thread_id(); i < a.width; i += kThreads) {
      if (a.y.bf16) {
        uint16_t* const y = static_cast<uint16_t*>(a.y.data) + row;
        y[i] = to_bf16(add(from_bf16(y[i]), a.bias[i]));
      } else {
        float* const y = static_cast<float*>(a.y.data) + row;
        y[i] = add(y[i], a.bias[i]);
      }
    }
  }
};

}  // namespace

void convert(Stream& stream, const ConvertArgs& args, int rows) { launch<Convert>(stream, {rows}, args); }
void dequantize(Stream& stream, const WeightView& w, uint16_t* out) { launch<Dequantize>(stream, {w.n_out}, {w, out}); }
void add_bias(Stream& stream, const BiasArgs& args, int rows) { launch<AddBias>(stream, {rows}, args); }

}  // namespace longhaul::cuda
