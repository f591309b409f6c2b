// What kernels are written in: CUDA, or the emulator's reading of it on the host (emulator/device.h).
//
// A kernel is a struct with `static __device__ void run(Shared&, const Args&)`, launched by launch.h. Shared memory is
// one struct a block, never initialised. bf16 travels as uint16_t bits, two to a uint32_t, the lower index in the low half.
#pragma once

#include <cstdint>

#include "backend/math/hd.h"

#if defined(__CUDACC__)

#define LONGHAUL_DEVICE static __device__ __forceinline__
#define LONGHAUL_UNROLL _Pragma("unroll")

namespace longhaul::cuda {

struct alignas(16) Quad {
  uint32_t x, y, z, w;
};
struct alignas(16) Float4 {
  float x, y, z, w;
};

LONGHAUL_DEVICE int thread_id() { return int(threadIdx.x); }
LONGHAUL_DEVICE int block_x() { return int(blockIdx.x); }
LONGHAUL_DEVICE int block_y() { return int(blockIdx.y); }
LONGHAUL_DEVICE void sync_block() { __syncthreads(); }

LONGHAUL_DEVICE float shuffle_xor(float v, int mask) { return __shfl_xor_sync(0xffffffffu, v, mask); }
LONGHAUL_DEVICE int shuffle_xor(int v, int mask) { return __shfl_xor_sync(0xffffffffu, v, mask); }
/** How many threads of the block say yes; all of them ask together. */
LONGHAUL_DEVICE int count_block(bool yes) { return __syncthreads_count(yes); }
/** Integers alone: their sum does not depend on who comes first. */
LONGHAUL_DEVICE int atomic_add(int* to, int v) { return atomicAdd(to, v); }

/** Until all that was launched before has ended and what it wrote is there: launch.h has the rules. */
LONGHAUL_DEVICE void wait_for_previous() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
/** Once every block has said so or ended, blocks of the next launch may begin, as far as their own wait. */
LONGHAUL_DEVICE void let_next_start() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}

/** Brings what lies there as near as the second-level cache; whoever writes it before it is read is heeded. */
LONGHAUL_DEVICE void ask_for(const void* p) { asm volatile("prefetch.global.L2 [%0];" ::"l"(p)); }

/** Sixteen bytes from memory to shared memory, or zeros; they are there for this thread after wait_copies. */
LONGHAUL_DEVICE void copy_async(void* to, const void* from, bool inside) {
  const int bytes = inside ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(uint32_t(__cvta_generic_to_shared(to))), "l"(from), "r"(bytes) : "memory");
}
/** Copies since the last call are one group. */
LONGHAUL_DEVICE void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/** Until all but the last kPending groups are there. */
template <int kPending>
LONGHAUL_DEVICE void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

/** 2^x, flushing to zero far below; 2 ulp. */
LONGHAUL_DEVICE float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
LONGHAUL_DEVICE float log2_fast(float x) {
  float y;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
LONGHAUL_DEVICE float divide_fast(float a, float b) { return __fdividef(a, b); }
LONGHAUL_DEVICE float fma(float a, float b, float c) { return __fmaf_rn(a, b, c); }
LONGHAUL_DEVICE float multiply(float a, float b) { return __fmul_rn(a, b); }
LONGHAUL_DEVICE float add(float a, float b) { return __fadd_rn(a, b); }
LONGHAUL_DEVICE float root(float a) { return __fsqrt_rn(a); }
LONGHAUL_DEVICE float divide(float a, float b) { return __fdiv_rn(a, b); }
LONGHAUL_DEVICE uint32_t byte_permute(uint32_t a, uint32_t b, uint32_t selector) { return __byte_perm(a, b, selector); }
LONGHAUL_DEVICE uint32_t bits_of(float x) { return __float_as_uint(x); }
LONGHAUL_DEVICE float float_of(uint32_t x) { return __uint_as_float(x); }

/** Two floats, rounded to nearest even: `low` in the low half. */
LONGHAUL_DEVICE uint32_t to_bf16_pair(float low, float high) {
  uint32_t out;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(out) : "f"(high), "f"(low));
  return out;
}

/** Of two pairs of bf16, element by element; for products that are exact. */
LONGHAUL_DEVICE uint32_t multiply_pairs(uint32_t a, uint32_t b) {
  uint32_t out;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(out) : "r"(a), "r"(b), "r"(0x80008000u));
  return out;
}

/**
 * Four 8 x 8 matrices of bf16 from shared memory: lane 8 m + r names row r of matrix m, 16 bytes. Lane l gets of each the two
 * neighbours 2 (l % 4) of row l / 4.
 */
LONGHAUL_DEVICE void load_matrices(const void* row, uint32_t (&out)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(uint32_t(__cvta_generic_to_shared(row)))
               : "memory");
}

/** c (16 x 8) += a (16 x 16) b (16 x 8): mma.m16n8k16, bf16 in, fp32 out; one k after the other is not promised. */
LONGHAUL_DEVICE void mma(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/** Weights are read once: past the first-level cache. */
template <class T>
LONGHAUL_DEVICE T load_streaming(const T* p) {
  static_assert(sizeof(T) == 16 || sizeof(T) == 8);
  T out;
  if constexpr (sizeof(T) == 16)
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];"
                 : "=r"(out.x), "=r"(out.y), "=r"(out.z), "=r"(out.w)
                 : "l"(p));
  else
    asm volatile("ld.global.nc.L1::no_allocate.v2.u32 {%0,%1}, [%2];" : "=r"(out.x), "=r"(out.y) : "l"(p));
  return out;
}

}  // namespace longhaul::cuda

#else
#include "backend/cuda/emulator/device.h"
#endif

namespace longhaul::cuda {

#if !defined(LONGHAUL_INSPECT)
struct alignas(8) Pair {
  uint32_t x, y;
};
struct alignas(8) Float2 {
  float x, y;
};
#endif

/** Of tiles that mma adds to. */
template <int MT, int NT>
LONGHAUL_DEVICE void clear_sums(float (&sum)[MT][NT][4]) {
  LONGHAUL_UNROLL
  for (int m = 0; m < MT; ++m)
    LONGHAUL_UNROLL
    for (int n = 0; n < NT; ++n)
      LONGHAUL_UNROLL
      for (int i = 0; i < 4; ++i) sum[m][n][i] = 0.0f;
}

LONGHAUL_DEVICE float from_bf16(uint16_t x) { return float_of(uint32_t(x) << 16); }
LONGHAUL_DEVICE float low_of(uint32_t pair) { return float_of(pair << 16); }
LONGHAUL_DEVICE float high_of(uint32_t pair) { return float_of(pair & 0xffff0000u); }
LONGHAUL_DEVICE uint16_t to_bf16(float x) { return uint16_t(to_bf16_pair(x, 0.0f)); }
LONGHAUL_DEVICE float larger(float a, float b) { return a > b ? a : b; }

constexpr float kLog2OfE = 1.44269504f, kLn2 = 0.693147181f;

/** x / (1 + e^-x) */
LONGHAUL_DEVICE float silu(float x) { return divide_fast(x, add(1.0f, exp2_fast(multiply(x, -kLog2OfE)))); }

/** ln(1 + e^x), the identity above 20: max(x, 0) + ln(1 + e), e = e^-|x|; a short series where e is small. */
LONGHAUL_DEVICE float softplus(float x) {
  const float e = exp2_fast(multiply(x > 0.0f ? x : -x, -kLog2OfE));
  const float series = multiply(e, fma(e, fma(e, 0.333333333f, -0.5f), 1.0f));
  const float tail = e < 0.01f ? series : multiply(kLn2, log2_fast(add(1.0f, e)));
  return x > 20.0f ? x : add(larger(x, 0.0f), tail);
}

}  // namespace longhaul::cuda
