// Activations into the words that `linear` reads, tile by tile.
//
//   f32    the float itself
//   bf16   rounded to nearest even, subnormals to zero, NaN quiet; two a word, the lower k in the lower half
//   int8   q = round(x 127 / max|x|) over each group of k, scale = max|x| / 127; four a word, the lowest k lowest
//
// A group that holds a NaN or an infinity gets the scale NaN: nothing wrong becomes a number.
#include "backend/cpu/ops/kernels.h"
#include "backend/math/exp_log.h"

namespace longhaul::cpu::LONGHAUL_ISA {
namespace {

/** All rows of a tile go by in chunks of whole groups, small enough for their words to stay in the first-level cache. */
constexpr int kMostWords = 256;

/** The bf16 in the upper half, the lower half undefined. */
uint32_t to_bf16(uint32_t bits) {
  const uint32_t magnitude = bits & 0x7fffffffu;
  uint32_t rounded = bits + 0x7fffu + (bits >> 16 & 1);
  rounded = magnitude < 0x00800000u ? bits & 0x80000000u : rounded;
  return magnitude > 0x7f800000u ? bits | 0x400000u : rounded;
}

void words_f32(const float* x, int n, int words, uint32_t* out) {
  memcpy(out, x, size_t(n) * 4);
  for (int k = n; k < words; ++k) out[k] = 0;
}

void words_bf16(const float* x, int n, int words, uint32_t* out) {
  constexpr int kRun = 256;
  uint32_t rounded[kRun];
  for (int begin = 0; begin < 2 * words; begin += kRun) {
    const int count = 2 * words - begin < kRun ? 2 * words - begin : kRun;
    const int given = n - begin < 0 ? 0 : n - begin < count ? n - begin : count;
    memcpy(rounded, x + begin, size_t(given) * 4);
    for (int i = given; i < count; ++i) rounded[i] = 0;
    for (int i = 0; i < count; ++i) rounded[i] = to_bf16(rounded[i]);
    for (int i = 0; i < count / 2; ++i) out[begin / 2 + i] = rounded[2 * i] >> 16 | (rounded[2 * i + 1] & 0xffff0000u);
  }
}

/** One group of n <= kMaxGroup values. */
void group_int8(const float* x, int n, int words, uint32_t* out, float& scale, int32_t& offset) {
  alignas(64) float values[kMaxGroup];
  const int columns = padded(n);
  memcpy(values, x, size_t(n) * 4);
  for (int i = n; i < columns; ++i) values[i] = 0.0f;
  F32x16 top = broadcast(0.0f), bad = broadcast(0.0f);
  for (int i = 0; i < columns; i += 16) {
    const F32x16 v = load(values + i);
    top = max(top, max(v, broadcast(0.0f) - v));
    bad = fma(v, broadcast(0.0f), bad);  // NaN where v is NaN or infinite
  }
  const float most = reduce_max(top);
  // Below this 127 / most is not finite: such a group counts as zeros.
  const float inverse = most > 0x1p-118f ? 127.0f / most : 0.0f;
  scale = most / 127.0f + reduce_add(bad);
  alignas(64) int32_t rounded[kMaxGroup];
  alignas(64) int8_t q[kMaxGroup] = {};
  for (int i = 0; i < columns; i += 16) {
    // Adding 1.5 * 2^23 rounds to the nearest integer and leaves it in the low bits.
    const F32x16 y = min(max(load(values + i) * broadcast(inverse), broadcast(-127.0f)), broadcast(127.0f));
    store(reinterpret_cast<float*>(rounded) + i, y + broadcast(math::kRoundMagic));
  }
  int32_t sum = 0;
  for (int i = 0; i < columns; ++i) {
    const int32_t integer = rounded[i] - 0x4b400000;
    q[i] = int8_t(integer);
    sum += integer;
  }
  memcpy(out, q, size_t(words) * 4);
  offset = -128 * sum;
}

/** Four rows of words side by side: to[w * height + m] = rows[m][w]. */
void interleave(const uint32_t (*rows)[kMostWords], int words, int height, uint32_t* to) {
  typedef uint32_t Four __attribute__((vector_size(16)));
  int w = 0;
  for (; w + 4 <= words; w += 4) {
    Four r[4];
    for (int m = 0; m < 4; ++m) memcpy(&r[m], rows[m] + w, 16);
    const Four even01 = __builtin_shufflevector(r[0], r[1], 0, 4, 2, 6), odd01 = __builtin_shufflevector(r[0], r[1], 1, 5, 3, 7);
    const Four even23 = __builtin_shufflevector(r[2], r[3], 0, 4, 2, 6), odd23 = __builtin_shufflevector(r[2], r[3], 1, 5, 3, 7);
    const Four out[4] = {
        __builtin_shufflevector(even01, even23, 0, 1, 4, 5), __builtin_shufflevector(odd01, odd23, 0, 1, 4, 5),
        __builtin_shufflevector(even01, even23, 2, 3, 6, 7), __builtin_shufflevector(odd01, odd23, 2, 3, 6, 7)};
    for (int i = 0; i < 4; ++i) memcpy(to + size_t(w + i) * height, &out[i], 16);
  }
  for (; w < words; ++w)
    for (int m = 0; m < 4; ++m) to[size_t(w) * height + m] = rows[m][w];
}

}  // namespace

void pack_rows(const PackedRows& to, Rows x, int n_in, int row_begin, int row_end) {
  alignas(64) uint32_t rows_of_words[4][kMostWords];
  const int per = per_word(to.kind);
  const int group = to.kind == Words::int8 ? to.group_steps : 1;
  const int chunk = kMostWords / group * group;
  for (int first = row_begin; first < row_end; first += kTileRows) {
    const int in_tile = row_end - first < kTileRows ? row_end - first : kTileRows;
    const int height = tile_height(in_tile);
    uint32_t* out = to.words + size_t(first) * to.steps;
    float* scales = to.scales + size_t(first) * to.groups;
    int32_t* offsets = to.offsets + size_t(first) * to.groups;
    for (int begin = 0; begin < to.steps; begin += chunk)
      for (int m = 0; m < height; ++m) {
        const int count = to.steps - begin < chunk ? to.steps - begin : chunk;
        const int left = n_in - begin * per;
        const int n = m >= in_tile ? 0 : left < count * per ? left : count * per;
        uint32_t* const words = rows_of_words[m % 4];
        const float* row = x.data + (m < in_tile ? size_t(first + m) * x.ld + size_t(begin) * per : 0);
        if (to.kind == Words::f32) {
          words_f32(row, n, count, words);
        } else if (to.kind == Words::bf16) {
          words_bf16(row, n, count, words);
        } else {
          for (int w = 0; w < count; w += group) {
            const int at = (begin + w) / group * height + m;
            const int rest = n - 4 * w;
            const int in_group = rest < 0 ? 0 : rest < 4 * group ? rest : 4 * group;
            group_int8(row + 4 * w, in_group, count - w < group ? count - w : group, words + w, scales[at], offsets[at]);
          }
        }
        uint32_t* column = out + size_t(begin) * height + m;
        if (height == 1)
          memcpy(column, words, size_t(count) * 4);
        else if (m % 4 == 3)
          interleave(rows_of_words, count, height, column - 3);
        else if (m >= height / 4 * 4)
          for (int w = 0; w < count; ++w) column[size_t(w) * height] = words[w];
      }
  }
}

}  // namespace longhaul::cpu::LONGHAUL_ISA
