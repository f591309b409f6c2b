// Linear with int8 activations: exact integer sums over each group of k, then one fma a group.
//
//   int8    y[n] = s[n] sum_g sx[g] sum_{k in g} q[n,k] qx[k]
//   code4   y[n] = sum_g (s[n,g] sx[g]) sum_{k in g} c[n,k] qx[k]      c = code / unit, rounded to int8; unit is in s
//
// Weights are stored plus 128, since the instruction multiplies unsigned by signed bytes; each group's sum starts at
// -128 times the sum of its qx, which takes that back.
#include "backend/cpu/ops/linear_tile.h"

namespace longhaul::cpu::LONGHAUL_ISA {
namespace {

template <int Unroll>
struct Groups {
  using Acc = Words16;
  using Operand = Words16;
  static constexpr int kUnroll = Unroll, kCell = 64;
  static constexpr bool kSegmented = true;
  LONGHAUL_HD Words16 mac(Words16 acc, Words16 w, uint32_t x) { return dot_u8s8(acc, w, broadcast_word(x)); }
  LONGHAUL_HD int segment_steps(const LinearArgs& args) { return args.x.group_steps; }
  LONGHAUL_HD Words16 begin(const Place& at, int group, int m) {
    return broadcast_word(uint32_t(at.x_offsets[group * at.height + m]));
  }
  LONGHAUL_HD F32x16 x_scale(const Place& at, int group, int m) { return broadcast(at.x_scales[group * at.height + m]); }
};

struct Int8Weights : Groups<1> {
  static constexpr bool kRowScales = true;
  Int8Weights(const LinearArgs&) {}
  inline __attribute__((always_inline)) Words16 operand(const uint8_t* w, size_t stride, int step, int) const {
    return load_words(w + step * stride);
  }
  LONGHAUL_HD F32x16 end(F32x16 sum, Words16 part, F32x16, const Place& at, int group, int m) {
    return fma(to_floats(part), x_scale(at, group, m), sum);
  }
};

template <int Unroll>
struct Codes : Groups<Unroll> {
  static constexpr bool kRowScales = false;
  LONGHAUL_HD F32x16 end(F32x16 sum, Words16 part, F32x16 scale, const Place& at, int group, int m) {
    return fma(to_floats(part) * scale, Codes::x_scale(at, group, m), sum);
  }
};

struct Code4Weights : Codes<2> {
  const ByteTable bytes;
  Code4Weights(const LinearArgs& args) : bytes(load_table(args.bytes)) {}
  inline __attribute__((always_inline)) Words16 operand(const uint8_t* w, size_t stride, int step, int u) const {
    return look_up(bytes, load_words(w + step / 2 * stride), u);
  }
};

/** Code4 whose panel was looked up before: bytes laid out as those of int8. */
struct ExpandedCodes : Codes<1> {
  ExpandedCodes(const LinearArgs&) {}
  inline __attribute__((always_inline)) Words16 operand(const uint8_t* w, size_t stride, int step, int) const {
    return load_words(w + step * stride);
  }
};

/** Steps of a panel that the buffer for looked-up codes holds. */
constexpr int kMostSteps = 1024;

/** Many rows: each panel's codes are looked up once, for all tiles. */
void linear_expanded(const LinearArgs& args, int tile_begin, int tile_end, int rows, int panel_begin, int panel_end) {
  alignas(64) uint8_t expanded[kMostSteps * kPanel * 4];
  const ByteTable bytes = load_table(args.bytes);
  LinearArgs local = args;
  local.panels = expanded;
  local.panel_bytes = 0;  // every panel is the one in the buffer
  for (int panel = panel_begin; panel < panel_end; ++panel) {
    const int columns = args.n_out - panel * kPanel < kPanel ? kAlign : kPanel;
    const uint8_t* from = args.panels + panel * args.panel_bytes;
    for (int step = 0; step < args.x.steps; ++step)
      for (int c = 0; c < columns; c += 16) {
        const Words16 words = look_up(bytes, load_words(from + (size_t(step / 2) * columns + c) * 4), step & 1);
        store_words(expanded + (size_t(step) * columns + c) * 4, words);
      }
    linear<ExpandedCodes>(local, tile_begin, tile_end, rows, panel, panel + 1);
  }
}

}  // namespace

void linear_int8(const LinearArgs& args, int tile_begin, int tile_end, int rows, int panel_begin, int panel_end) {
  if (args.dtype == Dtype::int8)
    linear<Int8Weights>(args, tile_begin, tile_end, rows, panel_begin, panel_end);
  else if (tile_end - tile_begin > 3 && args.x.steps <= kMostSteps)
    linear_expanded(args, tile_begin, tile_end, rows, panel_begin, panel_end);
  else
    linear<Code4Weights>(args, tile_begin, tile_end, rows, panel_begin, panel_end);
}

}  // namespace longhaul::cpu::LONGHAUL_ISA
