// The table of kernels that each instruction set fills. A kernel works on one tile and knows no threads;
// cpu_backend.cpp cuts ops into tiles. Plain structs only: these types cross instruction-set boundaries.
#pragma once

#include "backend/backend.h"

namespace longhaul::cpu {

/** Columns of one packed panel: panel p holds rows [16 p, 16 p + 16) of the weight, k-major. */
constexpr int kPanel = 16;

struct LinearArgs {
  const void* panels;  // (n_panels, n_in, kPanel), fp32 or bf16
  bool bf16;
  int n_in;
  const float* bias;  // or null
  const float* x;
  int ldx;
  float* y;
  int ldy;
  bool accumulate;
};

struct NormArgs {
  const float* x;
  int ldx;
  const float* weight;  // or null
  int width;
  float eps;
  float* y;
  int ldy;
};

struct ConvArgs {
  ConvWeights w;
  int d_inner;  // padded: the stride of weight taps and state columns
  const float* x;
  int ldx;
  float* u;
  int ldu;
  size_t state_offset;
};

struct ScanArgs {
  ScanWeights w;
  const float *u, *dt, *b, *c, *z;
  int ldu, lddt, ldb, ldc, ldz;
  float* y;
  int ldy;
  size_t state_offset;
};

struct Kernels {
  void (*linear)(const LinearArgs&, int row_begin, int row_end, int panel_begin, int panel_end);
  void (*rms_norm)(const NormArgs&, int row_begin, int row_end);
  void (*causal_conv1d)(const ConvArgs&, const Span&, int channel_begin, int channel_end);
  void (*selective_scan)(const ScanArgs&, const Span&, int channel_begin, int channel_end);
  void (*log_probs)(Rows logits, int vocab, const int32_t* targets, float* out, int row_begin, int row_end);
  /** Per-element math, for tests: 0 exp2, 1 exp, 2 log, 3 log1p, 4 silu, 5 softplus; n is a multiple of 16. */
  void (*elementwise)(int function, const float* x, float* y, int n);
};

extern const Kernels kPortableKernels;
#if defined(LONGHAUL_X86)
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;
#endif

}  // namespace longhaul::cpu
