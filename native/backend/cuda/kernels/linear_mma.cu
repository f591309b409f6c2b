// y = W x + bias (or y += ...) for a few rows of x: bf16, int8 or code4 weights, bf16 activations, fp32 sums, tensor cores.
//
// The weights are the 16-row operand and stream from memory once, straight into registers, as they are stored; x is the
// 8-column operand, padded with zeros. A block has 16 MT rows of W; its warps cut k into as many slices and add their sums
// up in order. Which k go into one instruction, the slices and that order are chosen by the shape of W alone, so a row of y
// has the same bits however many rows share the call. Bound by reading W.
//
// A format F names kBlock (values of k that the four lanes of a row share in one step), Load (what a lane takes of one row),
// kScaled (sums of a step are scaled before they are added), and
//   load(w, row, k)       this lane's part of row `row` at k
//   expand(load, words)   as bf16 pairs in the order of k
#include "backend/cuda/kernels.h"
#include "backend/cuda/launch.h"

namespace longhaul::cuda {
namespace {

struct Bf16Format {
  static constexpr int kBlock = 32;
  static constexpr bool kScaled = false, kRowScales = false;
  using Load = Quad;
  static __device__ Load load(const WeightView& w, int row, int k) {
    return load_streaming(reinterpret_cast<const Quad*>(static_cast<const uint16_t*>(w.data) + size_t(row) * w.n_in + k));
  }
  __device__ void expand(const Load& in, uint32_t (&words)[4]) const {
    words[0] = in.x;
    words[1] = in.y;
    words[2] = in.z;
    words[3] = in.w;
  }
};

/** -128 ... 127 are exact in bf16; the rows' scales come last. */
struct Int8Format {
  static constexpr int kBlock = 64;
  static constexpr bool kScaled = false, kRowScales = true;
  using Load = Quad;
  static __device__ Load load(const WeightView& w, int row, int k) {
    return load_streaming(reinterpret_cast<const Quad*>(static_cast<const int8_t*>(w.data) + size_t(row) * w.n_in + k));
  }
  /** Byte i of x, plus 128, in the mantissa of 2^23: minus 2^23 + 128 it is the value, whose upper half is its bf16. */
  static __device__ uint32_t pair(uint32_t x, int i) {
    const float low = add(float_of(byte_permute(x, 0x4b000000u, 0x7540u + uint32_t(i))), -8388736.0f);
    const float high = add(float_of(byte_permute(x, 0x4b000000u, 0x7540u + uint32_t(i + 1))), -8388736.0f);
    return byte_permute(bits_of(low), bits_of(high), 0x7632);
  }
  __device__ void expand(const Load& in, uint32_t (&words)[8]) const {
    const uint32_t flipped[4] = {in.x ^ 0x80808080u, in.y ^ 0x80808080u, in.z ^ 0x80808080u, in.w ^ 0x80808080u};
    LONGHAUL_UNROLL
    for (int i = 0; i < 4; ++i) {
      words[2 * i] = pair(flipped[i], 0);
      words[2 * i + 1] = pair(flipped[i], 2);
    }
  }
};

/** Codes in bf16; a step is one block of scales, or a part of one. */
struct Code4Format {
  static constexpr int kBlock = 64;
  static constexpr bool kScaled = true, kRowScales = false;
  using Load = Pair;
  uint32_t low[4], high[4];  // the sixteen codes: their low and their high bytes

  static __device__ Load load(const WeightView& w, int row, int k) {
    return load_streaming(reinterpret_cast<const Pair*>(static_cast<const uint8_t*>(w.data) + (size_t(row) * w.n_in + k) / 2));
  }
  __device__ void prepare(const WeightView& w) {
    LONGHAUL_UNROLL
    for (int i = 0; i < 4; ++i) {
      const uint32_t first = to_bf16_pair(w.code[4 * i], w.code[4 * i + 1]);
      const uint32_t second = to_bf16_pair(w.code[4 * i + 2], w.code[4 * i + 3]);
      low[i] = byte_permute(first, second, 0x6420);
      high[i] = byte_permute(first, second, 0x7531);
    }
  }
  /** Sixteen bits: the values e1 e0 e3 e2 from the lowest nibble up. */
  __device__ void four(uint32_t nibbles, uint32_t& first, uint32_t& second) const {
    const uint32_t index = nibbles & 0x7777u, upper = 0x3210u + ((nibbles & 0x8888u) >> 1);
    const uint32_t lows = byte_permute(byte_permute(low[0], low[1], index), byte_permute(low[2], low[3], index), upper);
    const uint32_t highs = byte_permute(byte_permute(high[0], high[1], index), byte_permute(high[2], high[3], index), upper);
    first = byte_permute(lows, highs, 0x4051);
    second = byte_permute(lows, highs, 0x6273);
  }
  __device__ void expand(const Load& in, uint32_t (&words)[8]) const {
    four(in.x & 0xffffu, words[0], words[1]);
    four(in.x >> 16, words[2], words[3]);
    four(in.y & 0xffffu, words[4], words[5]);
    four(in.y >> 16, words[6], words[7]);
  }
};

constexpr int kAhead = 4;  // steps that are on their way from memory

template <class F, int WARPS, int MT, int NT>
struct LinearMma {
  using Args = LinearArgs;
  struct Shared {
    float sums[WARPS][16 * MT][8 * NT + 2];
  };
  static constexpr int kThreads = 32 * WARPS;
  static constexpr const char* kName = "linear_mma";
  static constexpr int kValues = F::kBlock / 4, kWords = kValues / 2, kSteps = kValues / 4;

  struct Step {
    typename F::Load w[MT][2];
    Quad x[NT][kWords / 4];
  };

  static __device__ void fetch(const Args& a, int k0, Step& out) {
    const int lane = thread_id() % 32, group = lane / 4, k = k0 + lane % 4 * kValues;
    const bool inside = k < a.w.n_in;
    LONGHAUL_UNROLL
    for (int m = 0; m < MT; ++m)
      LONGHAUL_UNROLL
      for (int half = 0; half < 2; ++half) {
        const int row = (block_x() * MT + m) * 16 + half * 8 + group;
        // Beyond the weight: any row and any k of it, multiplied by zeros, or never stored.
        out.w[m][half] = F::load(a.w, row < a.w.n_out ? row : a.w.n_out - 1, inside ? k : 0);
      }
    LONGHAUL_UNROLL
    for (int n = 0; n < NT; ++n) {
      const int token = (block_y() * NT + n) * 8 + group;
      const Quad* const x = reinterpret_cast<const Quad*>(static_cast<const uint16_t*>(a.x.data) + size_t(token) * a.x.ld + k);
      LONGHAUL_UNROLL
      for (int i = 0; i < kWords / 4; ++i) out.x[n][i] = inside && token < a.rows ? x[i] : Quad{0, 0, 0, 0};
    }
  }

  static __device__ void multiply_step(const Args& a, const F& format, int k0, const Step& step, float (&sum)[MT][NT][4]) {
    LONGHAUL_UNROLL
    for (int m = 0; m < MT; ++m) {
      uint32_t upper[kWords], lower[kWords];
      format.expand(step.w[m][0], upper);
      format.expand(step.w[m][1], lower);
      float scale[2] = {1.0f, 1.0f};
      if constexpr (F::kScaled) {
        LONGHAUL_UNROLL
        for (int half = 0; half < 2; ++half) {
          const int row = (block_x() * MT + m) * 16 + half * 8 + thread_id() % 32 / 4;
          scale[half] = a.w.scales[(size_t(row < a.w.n_out ? row : a.w.n_out - 1) * a.w.n_in + k0) / a.w.block_size];
        }
      }
      LONGHAUL_UNROLL
      for (int n = 0; n < NT; ++n) {
        float part[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        LONGHAUL_UNROLL
        for (int i = 0; i < kSteps; ++i) {
          const Quad& x = step.x[n][i / 2];
          const uint32_t words[4] = {upper[2 * i], lower[2 * i], upper[2 * i + 1], lower[2 * i + 1]};
          if constexpr (F::kScaled)
            mma(part, words, i % 2 ? x.z : x.x, i % 2 ? x.w : x.y);
          else
            mma(sum[m][n], words, i % 2 ? x.z : x.x, i % 2 ? x.w : x.y);
        }
        if constexpr (F::kScaled) {
          LONGHAUL_UNROLL
          for (int i = 0; i < 4; ++i) sum[m][n][i] = fma(scale[i / 2], part[i], sum[m][n][i]);
        }
      }
    }
  }

  static __device__ void run(Shared& shared, const Args& a) {
    F format;
    if constexpr (F::kScaled) format.prepare(a.w);
    const int warp = thread_id() / 32, lane = thread_id() % 32;
    const int steps = (a.w.n_in + F::kBlock - 1) / F::kBlock, slice = (steps + WARPS - 1) / WARPS;
    const int begin = warp * slice, end = begin + slice < steps ? begin + slice : steps;

    float sum[MT][NT][4];
    LONGHAUL_UNROLL
    for (int m = 0; m < MT; ++m)
      LONGHAUL_UNROLL
      for (int n = 0; n < NT; ++n)
        LONGHAUL_UNROLL
        for (int i = 0; i < 4; ++i) sum[m][n][i] = 0.0f;

    constexpr int kDepth = MT * NT > 4 ? 2 : kAhead;
    Step step[kDepth];
    LONGHAUL_UNROLL
    for (int i = 0; i < kDepth; ++i)
      if (begin + i < end) fetch(a, (begin + i) * F::kBlock, step[i]);
    for (int at = begin; at < end; at += kDepth) {
      LONGHAUL_UNROLL
      for (int i = 0; i < kDepth; ++i) {
        if (at + i >= end) break;
        multiply_step(a, format, (at + i) * F::kBlock, step[i], sum);
        if (at + i + kDepth < end) fetch(a, (at + i + kDepth) * F::kBlock, step[i]);
      }
    }

    LONGHAUL_UNROLL
    for (int m = 0; m < MT; ++m)
      LONGHAUL_UNROLL
      for (int n = 0; n < NT; ++n)
        LONGHAUL_UNROLL
        for (int i = 0; i < 4; ++i)
          shared.sums[warp][m * 16 + i / 2 * 8 + lane / 4][n * 8 + lane % 4 * 2 + i % 2] = sum[m][n][i];
    sync_block();
    store(shared, a);
  }

  static __device__ void store(const Shared& shared, const Args& a) {
    for (int cell = thread_id(); cell < 16 * MT * 8 * NT; cell += kThreads) {
      const int line = cell % (16 * MT), column = cell / (16 * MT);
      const int row = block_x() * 16 * MT + line, token = block_y() * 8 * NT + column;
      if (row >= a.w.n_out || token >= a.rows) continue;
      float sum = shared.sums[0][line][column];
      LONGHAUL_UNROLL
      for (int warp = 1; warp < WARPS; ++warp) sum = add(sum, shared.sums[warp][line][column]);
      if (F::kRowScales) sum = multiply(sum, a.w.scales[row]);
      if (a.bias) sum = add(sum, a.bias[row]);
      const size_t at = size_t(token) * a.y.ld + row;
      if (a.y.bf16) {
        static_cast<uint16_t*>(a.y.data)[at] = to_bf16(sum);
      } else {
        float* const y = static_cast<float*>(a.y.data) + at;
        *y = a.accumulate ? add(*y, sum) : sum;
      }
    }
  }
};

template <class F, int WARPS, int MT, int NT>
void launch_tiles(Stream& stream, const LinearArgs& args) {
  launch<LinearMma<F, WARPS, MT, NT>>(stream, {(args.w.n_out + 16 * MT - 1) / (16 * MT), (args.rows + 8 * NT - 1) / (8 * NT)}, args);
}

/** More warps where there are few rows of W to go round; more rows of W a block where there are many of x. */
template <class F>
void launch_format(Stream& stream, const LinearArgs& args) {
  constexpr int kFewRows = 2048;
  if (args.w.n_out <= kFewRows) {
    if (args.rows <= 8) return launch_tiles<F, 16, 1, 1>(stream, args);
    return launch_tiles<F, 16, 1, 2>(stream, args);
  }
  if (args.rows <= 8) return launch_tiles<F, 8, 1, 1>(stream, args);
  if (args.rows <= 16) return launch_tiles<F, 8, 1, 2>(stream, args);
  if (args.rows <= 32) return launch_tiles<F, 8, 2, 4>(stream, args);
  return launch_tiles<F, 8, 2, 8>(stream, args);
}

}  // namespace

void linear_mma(Stream& stream, const LinearArgs& args) {
  switch (args.w.dtype) {
    case Dtype::bf16: return launch_format<Bf16Format>(stream, args);
    case Dtype::int8: return launch_format<Int8Format>(stream, args);
    case Dtype::code4: return launch_format<Code4Format>(stream, args);
    default: throw DeviceError("linear_mma: no kernel for this weight");
  }
}

}  // namespace longhaul::cuda
