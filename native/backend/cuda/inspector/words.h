// The vector types of device.h for the inspector: their copies are calls that tell it, so that sixteen bytes at once stay
// sixteen bytes at once whatever the compiler makes of them. emulator/device.h includes it in place of the plain ones.
#pragma once

#include <cstddef>
#include <cstdint>

/** Helpers become part of the kernel's code, so that an address of code names the place that called them. */
#define LONGHAUL_DEVICE static inline __attribute__((always_inline))
/** What reads the emulator's own memory is not told of. */
#define LONGHAUL_UNSEEN static __attribute__((noinline, unused, no_sanitize("thread")))

namespace longhaul::cuda {

namespace inspector {
/** Copies, and tells of a read and a write of `bytes`. */
void copy_word(void* to, const void* from, size_t bytes);
}  // namespace inspector

#define LONGHAUL_WORD(NAME)                                                                                             \
  NAME() = default;                                                                                                     \
  __attribute__((always_inline)) NAME(const NAME& other) { inspector::copy_word(this, &other, sizeof(NAME)); }          \
  __attribute__((always_inline)) NAME& operator=(const NAME& other) {                                                   \
    inspector::copy_word(this, &other, sizeof(NAME));                                                                   \
    return *this;                                                                                                       \
  }

struct alignas(16) Quad {
  uint32_t x, y, z, w;
  LONGHAUL_WORD(Quad)
  Quad(uint32_t a, uint32_t b, uint32_t c, uint32_t d) : x(a), y(b), z(c), w(d) {}
};
struct alignas(16) Float4 {
  float x, y, z, w;
  LONGHAUL_WORD(Float4)
  Float4(float a, float b, float c, float d) : x(a), y(b), z(c), w(d) {}
};
struct alignas(8) Float2 {
  float x, y;
  LONGHAUL_WORD(Float2)
  Float2(float a, float b) : x(a), y(b) {}
};
struct alignas(8) Pair {
  uint32_t x, y;
  LONGHAUL_WORD(Pair)
  Pair(uint32_t a, uint32_t b) : x(a), y(b) {}
};

}  // namespace longhaul::cuda
