// How weights lie in memory, and how they become the bf16 pairs that tensor cores take.
//
// A format F names kBlock (values of k that the four lanes of a row share in one step), kAhead (steps of sixteen rows whose weights
// a warp asks for before it needs them), Load (what a lane takes of one row), kScaled (sums of a step are scaled before they
// are added), kRowScales (sums are scaled at the end), kWhole (n_in is a multiple of kBlock), and
//   load(w, row, k)       this lane's part of row `row` at k
//   expand(load, words)   as bf16 pairs in the order of k
#pragma once

#include "backend/cuda/device.h"
#include "backend/cuda/kernels.h"

namespace longhaul::cuda {

struct Bf16Format {
  static constexpr int kBlock = 32, kAhead = 4;
  static constexpr bool kScaled = false, kRowScales = false, kWhole = false;
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
  static constexpr int kBlock = 64, kAhead = 4;
  static constexpr bool kScaled = false, kRowScales = true, kWhole = false;
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

/** e4m3 is exact in bf16; the rows' scales come last. NaN is not among the codes of a weight. */
struct Fp8Format {
  static constexpr int kBlock = 64, kAhead = 4;
  static constexpr bool kScaled = false, kRowScales = true, kWhole = false;
  using Load = Quad;
  static __device__ Load load(const WeightView& w, int row, int k) {
    return load_streaming(reinterpret_cast<const Quad*>(static_cast<const uint8_t*>(w.data) + size_t(row) * w.n_in + k));
  }
  /** Bytes i and i + 1 of x: their fields in bf16, whose bias is 120 more. */
  static __device__ uint32_t pair(uint32_t x, int i) {
    const uint32_t upper = byte_permute(x, 0, i == 0 ? 0x1404 : 0x3424);
    return multiply_pairs((upper >> 4 & 0x07f007f0u) | (upper & 0x80008000u), 0x7b807b80u);  // 2^120
  }
  __device__ void expand(const Load& in, uint32_t (&words)[8]) const {
    const uint32_t four[4] = {in.x, in.y, in.z, in.w};
    LONGHAUL_UNROLL
    for (int i = 0; i < 4; ++i) {
      words[2 * i] = pair(four[i], 0);
      words[2 * i + 1] = pair(four[i], 2);
    }
  }
};

/** Codes in bf16; a step is what one scale is of. */
struct Code4 {
  static constexpr int kBlock = 64, kAhead = 8;
  static constexpr bool kScaled = true, kRowScales = false, kWhole = true;
  static_assert(kBlock == kCodeBlock);
  using Load = Pair;

  static __device__ Load load(const WeightView& w, int row, int k) {
    return load_streaming(reinterpret_cast<const Pair*>(static_cast<const uint8_t*>(w.data) + (size_t(row) * w.n_in + k) / 2));
  }
};

/** The sixteen codes in registers: three instructions a weight, nothing to set up. For weights of which a block has few. */
struct Code4Registers : Code4 {
  uint32_t low[4], high[4];  // their low and their high bytes

  __device__ void prepare(const WeightView& w) {
    // Never true, which the compiler cannot know: what all threads surely share it keeps in uniform registers, and moves at each use.
    const float* const code = w.code->values + (thread_id() > w.n_in * 1024);
    LONGHAUL_UNROLL
    for (int i = 0; i < 4; ++i) {
      const uint32_t first = to_bf16_pair(code[4 * i], code[4 * i + 1]);
      const uint32_t second = to_bf16_pair(code[4 * i + 2], code[4 * i + 3]);
      low[i] = byte_permute(first, second, 0x6420);
      high[i] = byte_permute(first, second, 0x7531);
    }
  }
  /** Of the lower sixteen bits: the values e1 e0 e3 e2 from the lowest nibble up. */
  __device__ void four(uint32_t nibbles, uint32_t& first, uint32_t& second) const {
    const uint32_t index = nibbles & 0x7777u, upper = 0x3210u + ((nibbles & 0x8888u) >> 1);
    const uint32_t lows = byte_permute(byte_permute(low[0], low[1], index), byte_permute(low[2], low[3], index), upper);
    const uint32_t highs = byte_permute(byte_permute(high[0], high[1], index), byte_permute(high[2], high[3], index), upper);
    first = byte_permute(lows, highs, 0x4051);
    second = byte_permute(lows, highs, 0x6273);
  }
  __device__ void expand(const Load& in, uint32_t (&words)[8]) const {
    four(in.x, words[0], words[1]);
    four(byte_permute(in.x, 0, 0x4432), words[2], words[3]);
    four(in.y, words[4], words[5]);
    four(byte_permute(in.y, 0, 0x4432), words[6], words[7]);
  }
};

/**
 * What a byte stands for in shared memory, once for each lane, so that no two meet in a bank: one load and one or two instructions
 * for two weights. The registers' three for each would keep the integer units of a device with 4 TB/s busier than its memory.
 */
struct Code4Table : Code4 {
  struct Table {
    alignas(16) uint32_t pairs[256][32];
  };
  const char* rows;  // of the table, 128 bytes each
  uint32_t own;      // where this lane's word of a row is

  /** By all threads of the block, which then wait for each other. */
  template <int kThreads>
  __device__ void prepare(Table& table, const WeightView& w) {
    constexpr int kQuads = 256 * 32 / 4;
    LONGHAUL_UNROLL
    for (int i = 0; i < kQuads / kThreads; ++i) {
      const int quad = i * kThreads + thread_id();
      const uint32_t pair = w.code->pairs[quad / 8];
      *reinterpret_cast<Quad*>(&table.pairs[quad / 8][quad % 8 * 4]) = {pair, pair, pair, pair};
    }
    rows = reinterpret_cast<const char*>(&table);
    own = thread_id() % 32 * 4;
    sync_block();
  }
  __device__ void expand(const Load& in, uint32_t (&words)[8]) const {
    const uint32_t codes[2] = {in.x, in.y};
    LONGHAUL_UNROLL
    for (int i = 0; i < 8; ++i) {
      const uint32_t row = (i % 4 == 0 ? codes[i / 4] << 7 : codes[i / 4] >> (8 * (i % 4) - 7)) & 0x7f80u;  // 128 times the byte
      words[i] = *reinterpret_cast<const uint32_t*>(rows + (row | own));
    }
  }
};

/** Calls each(F()) with the format of a weight, Codes for code4; throws DeviceError where no tensor-core kernel reads it. */
template <class Codes, class Each>
void with_format(const WeightView& w, const char* kernel, const Each& each) {
  switch (w.dtype) {
    case Dtype::bf16: return each(Bf16Format());
    case Dtype::int8: return each(Int8Format());
    case Dtype::code4: return each(Codes());
    case Dtype::fp8: return each(Fp8Format());
    default: throw DeviceError(std::string(kernel) + ": no kernel for this weight");
  }
}

}  // namespace longhaul::cuda
