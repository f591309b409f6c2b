// F32x16: sixteen floats, one type per instruction set, the same bits from each.
//
// Kernel sources are compiled once per instruction set; LONGHAUL_ISA names the namespace. Every operation is one
// IEEE operation per lane (fma is fused), so the instruction sets differ in speed only. Beside it Words16: sixteen
// 32-bit words, each an fp32, two bf16 or four bytes (the lowest first), for the dot products of packed weights:
//
//   dot_bf16(acc, w, x)   acc = fma(w[0], x[0], fma(w[1], x[1], acc)), subnormal results flushed to zero, what vdpbf16ps does
//   dot_u8s8(acc, w, x)   acc += sum of the four w[b] x[b], w unsigned, x signed; exact in int32
#pragma once

#if defined(LONGHAUL_ISA_AVX512BF16)
#define LONGHAUL_ISA avx512bf16
#include "backend/cpu/simd/f32x16_avx512.h"
#elif defined(LONGHAUL_ISA_AVX512VNNI)
#define LONGHAUL_ISA avx512vnni
#include "backend/cpu/simd/f32x16_avx512.h"
#elif defined(LONGHAUL_ISA_AVX512)
#define LONGHAUL_ISA avx512
#include "backend/cpu/simd/f32x16_avx512.h"
#elif defined(LONGHAUL_ISA_AVX2)
#define LONGHAUL_ISA avx2
#include "backend/cpu/simd/f32x16_avx2.h"
#else
#define LONGHAUL_ISA portable
#include "backend/cpu/simd/f32x16_portable.h"
#endif

namespace longhaul::cpu::LONGHAUL_ISA {

/** The first n of p, the rest filled. */
LONGHAUL_HD F32x16 load_partial(const float* p, int n, float fill) {
  float lanes[16];
  for (int i = 0; i < 16; ++i) lanes[i] = i < n ? p[i] : fill;
  return load(lanes);
}

/** Sum and maximum over lanes in one fixed tree: 8 apart, 4, 2, 1. */
LONGHAUL_HD float reduce_add(F32x16 v) {
  float s[16];
  store(s, v);
  for (int step = 8; step > 0; step /= 2)
    for (int i = 0; i < step; ++i) s[i] = s[i] + s[i + step];
  return s[0];
}
LONGHAUL_HD float reduce_max(F32x16 v) {
  float s[16];
  store(s, v);
  for (int step = 8; step > 0; step /= 2)
    for (int i = 0; i < step; ++i) s[i] = s[i] > s[i + step] ? s[i] : s[i + step];
  return s[0];
}

}  // namespace longhaul::cpu::LONGHAUL_ISA
