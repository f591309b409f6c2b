// Changes of representation: fp32 rows to bf16, weights to bf16, rows to e4m3 and what becomes of a product of those, and the
// bias of a product that a library made. Memory-bound.
#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/reduce.h"
#include "backend/math/fp8.h"

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
    for (int i = 4 * thread_id(); i < a.width; i += 4 * kThreads) {
      const Float4 v = *reinterpret_cast<const Float4*>(x + i);
      *reinterpret_cast<Pair*>(out + i) = {to_bf16_pair(v.x, v.y), to_bf16_pair(v.z, v.w)};
    }
  }
};

struct DequantizeArgs {
  WeightView w;
  uint16_t* out;
};

/** A thread eight neighbours of a row, 16 bytes out. */
struct Dequantize {
  using Args = DequantizeArgs;
  struct Shared {
    float code[16];
  };
  static constexpr int kThreads = 256, kValues = 8;
  static constexpr const char* kName = "dequantize";
  static __device__ void run(Shared& shared, const Args& a) {
    const bool codes = a.w.dtype == Dtype::code4, fp8 = a.w.dtype == Dtype::fp8;
    if (codes && thread_id() < 16) shared.code[thread_id()] = a.w.code->values[thread_id()];
    sync_block();
    const size_t first = (size_t(block_x()) * kThreads + thread_id()) * kValues;
    if (first >= size_t(a.w.n_out) * a.w.n_in) return;
    const float scale = a.w.scales[first / size_t(codes ? a.w.block_size : a.w.n_in)];
    uint32_t out[kValues / 2];
    if (codes) {
      const uint32_t bytes = *reinterpret_cast<const uint32_t*>(static_cast<const uint8_t*>(a.w.data) + first / 2);
      LONGHAUL_UNROLL
      for (int i = 0; i < kValues / 2; ++i) {
        const uint32_t pair = bytes >> 8 * i & 255;
        out[i] = to_bf16_pair(multiply(shared.code[pair >> 4], scale), multiply(shared.code[pair & 15], scale));
      }
    } else {
      const auto value = [&](uint32_t byte) { return multiply(fp8 ? math::from_e4m3(uint8_t(byte)) : float(int8_t(byte)), scale); };
      const Pair bytes = *reinterpret_cast<const Pair*>(static_cast<const uint8_t*>(a.w.data) + first);
      LONGHAUL_UNROLL
      for (int i = 0; i < kValues / 2; ++i) {
        const uint32_t two = (i < 2 ? bytes.x : bytes.y) >> 16 * (i % 2);
        out[i] = to_bf16_pair(value(two & 255), value(two >> 8 & 255));
      }
    }
    *reinterpret_cast<Quad*>(a.out + first) = {out[0], out[1], out[2], out[3]};
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

LONGHAUL_DEVICE float value_of(const Typed& x, size_t i) {
  return x.bf16 ? from_bf16(static_cast<const uint16_t*>(x.data)[i]) : static_cast<const float*>(x.data)[i];
}

/** A block a row: its largest magnitude, then the row again. */
struct QuantizeRows {
  using Args = QuantizeRowsArgs;
  static constexpr int kThreads = 256;
  using Shared = ReduceShared<kThreads>;
  static constexpr const char* kName = "quantize_rows";
  static __device__ void run(Shared& shared, const Args& a) {
    const size_t row = size_t(block_x()) * a.x.ld;
    float most = 0.0f;
    for (int i = thread_id(); i < a.width; i += kThreads) {
      const float x = value_of(a.x, row + i);
      most = larger(x < 0.0f ? -x : x, most);
    }
    most = reduce_block<kThreads>(shared, most, Larger());
    const float inverse = most > 0.0f ? divide(math::kMostE4m3, most) : 0.0f;
    if (thread_id() == 0) a.scales[block_x()] = divide(most, math::kMostE4m3);
    uint8_t* const out = a.out + size_t(block_x()) * a.width;
    for (int i = thread_id(); i < a.width; i += kThreads) out[i] = math::to_e4m3(multiply(value_of(a.x, row + i), inverse));
  }
};

struct ScaleProduct {
  using Args = ScaleProductArgs;
  using Shared = NoShared;
  static constexpr int kThreads = 256;
  static constexpr const char* kName = "scale_product";
  static __device__ void run(Shared&, const Args& a) {
    const float* const product = a.product + size_t(block_x()) * a.width;
    const float x_scale = a.x_scales[block_x()];
    const size_t row = size_t(block_x()) * a.y.ld;
    for (int i = thread_id(); i < a.width; i += kThreads) {
      const float sum = multiply(multiply(product[i], x_scale), a.w_scales[i]);
      if (a.y.bf16) {
        static_cast<uint16_t*>(a.y.data)[row + i] = to_bf16(sum);
      } else {
        float* const y = static_cast<float*>(a.y.data) + row + i;
        *y = a.accumulate ? add(*y, sum) : sum;
      }
    }
  }
};

}  // namespace

void convert(Stream& stream, const ConvertArgs& args, int rows) { launch<Convert>(stream, {rows}, args); }
void dequantize(Stream& stream, const WeightView& w, uint16_t* out) {
  const size_t threads = size_t(w.n_out) * w.n_in / Dequantize::kValues;
  launch<Dequantize>(stream, {int((threads + Dequantize::kThreads - 1) / Dequantize::kThreads)}, {w, out});
}
void add_bias(Stream& stream, const BiasArgs& args, int rows) { launch<AddBias>(stream, {rows}, args); }
void quantize_rows(Stream& stream, const QuantizeRowsArgs& args, int rows) { launch<QuantizeRows>(stream, {rows}, args); }
void scale_product(Stream& stream, const ScaleProductArgs& args, int rows) { launch<ScaleProduct>(stream, {rows}, args); }

}  // namespace longhaul::cuda
