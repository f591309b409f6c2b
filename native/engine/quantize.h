// Quantizing a weight at load, int8 and nf4 as bitsandbytes does it.
#pragma once

#include <cstdint>
#include <vector>

#include "backend/backend.h"

namespace longhaul {

/** What the four projections (and, either way, lm_head in int8) are turned into at load. */
enum class Quantize { none, int8, nf4, fp8 };

/** NF4's codes by nibble (QLoRA, appendix E). */
extern const float kNf4[16];
constexpr int kNf4Block = 64;

/** A quantized weight with its memory; `matrix` points into it. */
struct Quantized {
  HostMatrix matrix;
  std::vector<uint8_t> data;
  std::vector<float> scales;
};

/**
 * int8: q = round(w 127 / max|row|), half to even, scale max|row| / 127. nf4: blocks of 64 over the flattened weight,
 * scale max|block|, the nearest code to w / scale. fp8: e4m3 of w 448 / max|row|, half to even, scale max|row| / 448. `weight` is f32, f16 or bf16, finite; throws EngineError
 * model_corrupt otherwise.
 */
Quantized quantize(const HostMatrix& weight, Quantize to);

}  // namespace longhaul
