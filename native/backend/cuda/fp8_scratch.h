// Where a product of e4m3 has its operand and what it makes, in one piece of the device's memory.
#pragma once

#include <cstddef>
#include <cstdint>

namespace longhaul::cuda {

/** What a product of e4m3 needs besides its operands. */
struct Fp8Scratch {
  uint8_t* x;      // (rows, n_in)
  float* scales;   // (rows)
  float* product;  // (rows, n_out)
  Fp8Scratch(void* memory, size_t rows, size_t n_in)
      : x(static_cast<uint8_t*>(memory)), scales(reinterpret_cast<float*>(x + line(rows * n_in))), product(scales + line(rows * 4) / 4) {}
  static size_t bytes(size_t rows, size_t n_in, size_t n_out) { return line(rows * n_in) + line(rows * 4) + rows * n_out * 4; }
  static size_t line(size_t bytes) { return (bytes + 255) / 256 * 256; }
};

}  // namespace longhaul::cuda
