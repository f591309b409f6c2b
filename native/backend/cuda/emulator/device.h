// The vocabulary of device.h on the host: each thread of a block is a fiber, so that barriers and exchanges between lanes
// are real ones, and a missing one shows: fibers run in an order that a seed shuffles, and shared memory starts as NaN.
#pragma once

#include <cmath>
#include <cstring>

#include "backend/cuda/emulator/inspect.h"
#include "backend/math/convert.h"

#define __device__
#define LONGHAUL_UNROLL
#if defined(LONGHAUL_INSPECT)
#include "backend/cuda/inspector/words.h"
#else
#define LONGHAUL_DEVICE static inline
#define LONGHAUL_UNSEEN static inline

namespace longhaul::cuda {

struct alignas(16) Quad {
  uint32_t x, y, z, w;
};
struct alignas(16) Float4 {
  float x, y, z, w;
};

}  // namespace longhaul::cuda
#endif

namespace longhaul::cuda {

namespace emulator {

struct Position {
  int thread, block_x, block_y;
};
/** Of the fiber that runs. */
Position position();
void sync_block();
int count_block(bool yes);
int atomic_add(int* to, int v);
/** Of a block that runs ahead (launches.h): until the launches before its own have ended. */
void wait_for_previous();
/** Of this fiber: begun, and carried out when its group is waited for, so that what is read too early is not there. */
void copy_async(void* to, const void* from, bool inside);
void commit_copies();
void wait_copies(int pending);
/** Gives `words` to the lanes of this warp and returns lane `from`'s; all lanes call it together. */
constexpr int kMostWords = 6;
void publish(const uint32_t* words, int count);
const uint32_t* published(int lane);
void finish_exchange();
/** What lane `from` gave; all lanes call it together. */
uint32_t exchange(uint32_t mine, int from);

}  // namespace emulator

LONGHAUL_DEVICE int thread_id() { return emulator::position().thread; }
LONGHAUL_DEVICE int block_x() { return emulator::position().block_x; }
LONGHAUL_DEVICE int block_y() { return emulator::position().block_y; }
LONGHAUL_DEVICE void sync_block() { emulator::sync_block(); }

LONGHAUL_DEVICE void wait_for_previous() { emulator::wait_for_previous(); }
LONGHAUL_DEVICE void let_next_start() {}
LONGHAUL_DEVICE void ask_for(const void*) {}

LONGHAUL_DEVICE int count_block(bool yes) { return emulator::count_block(yes); }
LONGHAUL_DEVICE int atomic_add(int* to, int v) { return emulator::atomic_add(to, v); }
LONGHAUL_DEVICE void copy_async(void* to, const void* from, bool inside) { emulator::copy_async(to, from, inside); }
LONGHAUL_DEVICE void commit_copies() { emulator::commit_copies(); }
template <int kPending>
LONGHAUL_DEVICE void wait_copies() {
  emulator::wait_copies(kPending);
}

LONGHAUL_DEVICE uint32_t bits_of(float x) {
  uint32_t i;
  std::memcpy(&i, &x, 4);
  return i;
}
LONGHAUL_DEVICE float float_of(uint32_t i) {
  float x;
  std::memcpy(&x, &i, 4);
  return x;
}

LONGHAUL_DEVICE int shuffle_xor(int v, int mask) { return int(emulator::exchange(uint32_t(v), thread_id() % 32 ^ mask)); }
LONGHAUL_DEVICE float shuffle_xor(float v, int mask) { return float_of(uint32_t(shuffle_xor(int(bits_of(v)), mask))); }

LONGHAUL_DEVICE float exp2_fast(float x) { return std::exp2(x); }
LONGHAUL_DEVICE float log2_fast(float x) { return std::log2(x); }
LONGHAUL_DEVICE float divide_fast(float a, float b) { return a / b; }
LONGHAUL_DEVICE float fma(float a, float b, float c) { return std::fmaf(a, b, c); }
LONGHAUL_DEVICE float multiply(float a, float b) { return a * b; }
LONGHAUL_DEVICE float add(float a, float b) { return a + b; }
LONGHAUL_DEVICE float root(float a) { return std::sqrt(a); }
LONGHAUL_DEVICE float divide(float a, float b) { return a / b; }

LONGHAUL_DEVICE uint32_t byte_permute(uint32_t a, uint32_t b, uint32_t selector) {
  const uint64_t both = uint64_t(b) << 32 | a;
  uint32_t out = 0;
  for (int i = 0; i < 4; ++i) {
    const uint32_t pick = selector >> (4 * i) & 15;
    uint32_t byte = uint32_t(both >> (8 * (pick & 7))) & 255;
    if (pick & 8) byte = byte & 128 ? 255 : 0;
    out |= byte << (8 * i);
  }
  return out;
}

LONGHAUL_DEVICE uint32_t to_bf16_pair(float low, float high) { return math::to_bf16(low) | uint32_t(math::to_bf16(high)) << 16; }

LONGHAUL_DEVICE uint32_t multiply_pairs(uint32_t a, uint32_t b) {
  return to_bf16_pair(float_of(a << 16) * float_of(b << 16), float_of(a & 0xffff0000u) * float_of(b & 0xffff0000u));
}

LONGHAUL_UNSEEN void load_matrices(const void* row, uint32_t (&out)[4]) {
  inspector::comes_to_exchange(LONGHAUL_WHERE);
  inspector::reads_row(row, LONGHAUL_WHERE);
  uint32_t mine[2];
  std::memcpy(mine, &row, sizeof row);
  emulator::publish(mine, 2);
  for (int m = 0; m < 4; ++m) {
    const char* theirs;
    std::memcpy(&theirs, emulator::published(8 * m + thread_id() % 32 / 4), sizeof theirs);
    std::memcpy(&out[m], theirs + thread_id() % 4 * 4, 4);
  }
  emulator::finish_exchange();
}

LONGHAUL_UNSEEN void mma(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  inspector::comes_to_exchange(LONGHAUL_WHERE);
  const uint32_t mine[6] = {a[0], a[1], a[2], a[3], b0, b1};
  emulator::publish(mine, 6);
  // Lane (row % 8, k % 8 / 2) holds A's words: [0] and [2] of rows 0..7, [1] and [3] of the others; [2], [3] from k = 8.
  const int group = thread_id() % 32 / 4, pair = thread_id() % 4;
  float rows[2][16], columns[2][16];
  for (int quarter = 0; quarter < 4; ++quarter) {
    const uint32_t* const from_a = emulator::published(group * 4 + quarter);
    for (int i = 0; i < 2; ++i) {
      const uint32_t* const from_b = emulator::published((2 * pair + i) * 4 + quarter) + 4;
      for (int upper = 0; upper < 2; ++upper) {
        const int k = 8 * upper + 2 * quarter;
        rows[i][k] = float_of(from_a[i + 2 * upper] << 16), rows[i][k + 1] = float_of(from_a[i + 2 * upper] & 0xffff0000u);
        columns[i][k] = float_of(from_b[upper] << 16), columns[i][k + 1] = float_of(from_b[upper] & 0xffff0000u);
      }
    }
  }
  for (int i = 0; i < 4; ++i) {
    float sum = 0;
    for (int k = 0; k < 16; ++k) sum += rows[i / 2][k] * columns[i % 2][k];
    c[i] += sum;
  }
  emulator::finish_exchange();
}

template <class T>
LONGHAUL_DEVICE T load_streaming(const T* p) {
  inspector::next_read_streams();
  return *p;
}

}  // namespace longhaul::cuda
