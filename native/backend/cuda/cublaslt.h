// The few names of cuBLASLt's C interface that gemm.cpp uses, and the library behind them, opened at run time.
//
// Compared with what bindgen made of cublasLt.h for cudarc (coreylowman/cudarc 8995648, src/cublaslt/sys/mod.rs): all of it is the
// same in CUDA 12.0 to 13.0, but for the scale modes, which begin with 12.8, and outer vectors, which begin with 12.9. In 12.8 their
// number is the end of the enumeration: refused when it is set, or no algorithm is found.
//
// NVIDIA's documentation on e4m3: A transposed and B not, sums and scales fp32, matrices and their columns on 16 bytes; with outer
// vectors both modes are set together, no other is, and D is f16, bf16 or fp32.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <string>

namespace longhaul::cuda::lt {

using Handle = struct Context*;
using MatmulDesc = struct MatmulDescOpaque*;
using Layout = struct LayoutOpaque*;
using Preference = struct PreferenceOpaque*;

struct Algo {
  uint64_t data[8];
};
struct HeuristicResult {
  Algo algo;
  size_t workspace_bytes;
  int state;
  float waves;
  int reserved[4];
};

// cudaDataType
constexpr int kF32 = 0, kBf16 = 14, kE4m3 = 28;
// cublasComputeType_t CUBLAS_COMPUTE_32F
constexpr int kCompute32F = 68;
// cublasOperation_t
constexpr int32_t kTranspose = 1;
// cublasLtMatmulDescAttributes_t
constexpr int kDescTransA = 3, kDescScaleA = 17, kDescScaleB = 18, kDescScaleModeA = 31, kDescScaleModeB = 32;
// cublasLtMatmulMatrixScale_t: one fp32 a row of A, and one a column of B
constexpr int32_t kScaleOuterVector = 3;
// cublasLtMatmulPreferenceAttributes_t
constexpr int kPreferenceWorkspace = 1, kPreferenceReduction = 3, kPreferenceAlignmentA = 5, kPreferenceAlignmentD = 8;
// cublasLtReductionScheme_t
constexpr uint32_t kReductionNone = 0;
// cublasLtMatmulAlgoConfigAttributes_t
constexpr int kConfigSplitK = 2;
// ... all that say how a sum is made: id, tile, split, reduction, (swizzle: not that), custom option, stages, inner shape, cluster
constexpr int kConfigOfSums[] = {0, 1, 2, 3, 5, 6, 7, 8};

/** Every function returns a cublasStatus_t: 0 is success. */
struct Library {
  size_t (*version)();
  int (*create)(Handle*);
  int (*destroy)(Handle);
  int (*desc_create)(MatmulDesc*, int compute, int scale);
  int (*desc_set)(MatmulDesc, int attribute, const void*, size_t);
  int (*desc_destroy)(MatmulDesc);
  int (*layout_create)(Layout*, int type, uint64_t rows, uint64_t cols, int64_t ld);
  int (*layout_destroy)(Layout);
  int (*preference_create)(Preference*);
  int (*preference_set)(Preference, int attribute, const void*, size_t);
  int (*preference_destroy)(Preference);
  int (*heuristic)(Handle, MatmulDesc, Layout a, Layout b, Layout c, Layout d, Preference, int wanted, HeuristicResult*, int* found);
  int (*config_get)(const Algo*, int attribute, void*, size_t, size_t* written);
  int (*matmul)(Handle, MatmulDesc, const void* alpha, const void* a, Layout, const void* b, Layout, const void* beta,
                const void* c, Layout, void* d, Layout, const Algo*, void* workspace, size_t, cudaStream_t);
};

/** Null where it is not found, or too old: `missing` says where it was looked for. Once found it stays open. */
const Library* open(std::string& missing);

}  // namespace longhaul::cuda::lt
