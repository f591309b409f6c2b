// Linear with bf16 weights and bf16 activations, summed in fp32: two products a lane and step, the second of each pair
// first, as vdpbf16ps does; the other instruction sets compute the same bits with fma.
#include "backend/cpu/ops/linear_tile.h"

namespace longhaul::cpu::LONGHAUL_ISA {
namespace {

struct Bf16Pairs {
  using Acc = F32x16;
  using Operand = Words16;
  static constexpr int kUnroll = 1, kCell = 64;
  static constexpr bool kSegmented = false, kRowScales = false;
  Bf16Pairs(const LinearArgs&) {}
  inline __attribute__((always_inline)) Words16 operand(const uint8_t* w, size_t stride, int step, int) const {
    return load_words(w + step * stride);
  }
  LONGHAUL_HD F32x16 mac(F32x16 acc, Words16 w, uint32_t x) { return dot_bf16(acc, w, broadcast_word(x)); }
};

}  // namespace

void linear_bf16(const LinearArgs& args, int tile_begin, int tile_end, int rows, int panel_begin, int panel_end) {
  [[maybe_unused]] const FlushSubnormals guard;
  linear<Bf16Pairs>(args, tile_begin, tile_end, rows, panel_begin, panel_end);
}

}  // namespace longhaul::cpu::LONGHAUL_ISA
