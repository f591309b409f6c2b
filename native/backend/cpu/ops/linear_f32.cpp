// Linear with fp32 activations: every format of weights, upcast exactly as it is read. Codes and bytes are multiplied by
// their scale after the sum that shares it.
#include "backend/cpu/ops/linear_tile.h"

namespace longhaul::cpu::LONGHAUL_ISA {
namespace {

template <int Unroll, int Cell>
struct Plain {
  using Acc = F32x16;
  using Operand = F32x16;
  static constexpr int kUnroll = Unroll, kCell = Cell;
  static constexpr bool kSegmented = false, kRowScales = false;
  Plain(const LinearArgs&) {}
  LONGHAUL_HD F32x16 mac(F32x16 acc, F32x16 w, uint32_t x) { return fma(w, broadcast(math::bits_float(int32_t(x))), acc); }
};

struct F32Weights : Plain<1, 64> {
  using Plain::Plain;
  LONGHAUL_HD F32x16 operand(const uint8_t* w, size_t stride, int step, int) {
    return load(reinterpret_cast<const float*>(w + step * stride));
  }
};

struct F16Weights : Plain<1, 32> {
  using Plain::Plain;
  LONGHAUL_HD F32x16 operand(const uint8_t* w, size_t stride, int step, int) {
    return load_f16(reinterpret_cast<const uint16_t*>(w + step * stride));
  }
};

struct Bf16Weights : Plain<2, 64> {
  using Plain::Plain;
  LONGHAUL_HD F32x16 operand(const uint8_t* w, size_t stride, int step, int u) {
    return widen_bf16(load_words(w + step / 2 * stride), u);
  }
};

struct Int8Weights : Plain<4, 64> {
  static constexpr bool kRowScales = true;
  using Plain::Plain;
  LONGHAUL_HD F32x16 operand(const uint8_t* w, size_t stride, int step, int u) {
    return byte_to_floats(load_words(w + step / 4 * stride), u) - broadcast(128.0f);
  }
};

struct Code4Weights : Plain<8, 64> {
  static constexpr bool kSegmented = true;
  const F32x16 code;
  Code4Weights(const LinearArgs& args) : Plain(args), code(load(args.code)) {}
  inline __attribute__((always_inline)) F32x16 operand(const uint8_t* w, size_t stride, int step, int u) const {
    return look_up(code, load_words(w + step / 8 * stride), 8 * (u & 3) + (u & 4));
  }
  LONGHAUL_HD int segment_steps(const LinearArgs& args) { return args.x.steps / args.segments; }
  LONGHAUL_HD F32x16 begin(const Place&, int, int) { return broadcast(0.0f); }
  LONGHAUL_HD F32x16 end(F32x16 sum, F32x16 part, F32x16 scale, const Place&, int, int) { return fma(part, scale, sum); }
};

}  // namespace

void linear_f32(const LinearArgs& args, int tile_begin, int tile_end, int rows, int panel_begin, int panel_end) {
  switch (args.dtype) {
    case Dtype::f32: return linear<F32Weights>(args, tile_begin, tile_end, rows, panel_begin, panel_end);
    case Dtype::f16: return linear<F16Weights>(args, tile_begin, tile_end, rows, panel_begin, panel_end);
    case Dtype::bf16: return linear<Bf16Weights>(args, tile_begin, tile_end, rows, panel_begin, panel_end);
    case Dtype::int8: return linear<Int8Weights>(args, tile_begin, tile_end, rows, panel_begin, panel_end);
    case Dtype::code4: return linear<Code4Weights>(args, tile_begin, tile_end, rows, panel_begin, panel_end);
    case Dtype::fp8: break;  // packed as fp32
  }
}

}  // namespace longhaul::cpu::LONGHAUL_ISA
