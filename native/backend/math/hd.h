// Marks per-token math that the host compiler and nvcc both compile.
//
// Internal linkage and forced inlining matter: the same header is compiled for several instruction sets,
// and the linker must never merge their copies.
#pragma once

#if defined(__CUDACC__)
#define LONGHAUL_HD static __host__ __device__ __forceinline__
#else
#define LONGHAUL_HD static inline __attribute__((always_inline))
#endif
