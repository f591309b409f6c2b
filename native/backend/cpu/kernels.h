// The table of kernels that each instruction set fills. A kernel works on one tile and knows no threads;
// cpu_backend.cpp cuts ops into tiles. Plain structs only: these types cross instruction-set boundaries.
#pragma once

#include "backend/backend.h"

namespace longhaul::cpu {

/** Output columns of one packed panel; the last panel of a matrix may have half as many. */
constexpr int kPanel = 32;
/** Rows of one tile of packed activations; the last tile has the smallest of 1, 2, 4, 6, 8, 12 that holds the rest. */
constexpr int kTileRows = 12;
constexpr int tile_height(int rows) {
  for (const int height : {1, 2, 4, 6, 8})
    if (rows <= height) return height;
  return kTileRows;
}

/** What one 32-bit word of packed activations holds: an fp32, two bf16, or four int8 with a scale a group. */
enum class Words { f32, bf16, int8 };
/** Most values of k that share a scale. */
constexpr int kMaxGroup = 128;
constexpr int per_word(Words words) { return words == Words::f32 ? 1 : words == Words::bf16 ? 2 : 4; }

/**
 * Activations as `linear` reads them: tile by tile, each (steps, height) words, so that a tile is one stream.
 * int8: x = q scale over each group of k; `offset` = -128 times the group's sum of q, since weights carry +128.
 */
struct PackedRows {
  Words kind;
  int steps;         // words of a row, zero-padded
  int group_steps;   // int8: words of a group
  int groups;        // int8: groups of a row
  uint32_t* words;
  float* scales;     // int8: tile by tile (groups, height)
  int32_t* offsets;  // int8: likewise
};

struct LinearArgs {
  Dtype dtype;
  const uint8_t* panels;
  size_t panel_bytes;    // of a full panel
  int n_out;             // padded to kAlign
  const float* scales;   // int8: (n_out); code4: panel by panel (segments, columns)
  int segments;          // code4: scales along k; else 1
  const float* code;     // code4: (16), for fp32 activations
  const uint8_t* bytes;  // code4: (16), code / unit + 128, for int8 activations; unit is folded into scales
  PackedRows x;
  const float* bias;     // or null
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

using LinearKernel = void (*)(const LinearArgs&, int tile_begin, int tile_end, int rows, int panel_begin, int panel_end);

struct Kernels {
  /** Rows [row_begin, row_end) of x (rows, n_in) into their tiles of `packed`; row_begin is a multiple of kTileRows. */
  void (*pack_rows)(const PackedRows& packed, Rows x, int n_in, int row_begin, int row_end);
  /** One per kind of activation words. `rows` counts all rows of the call. */
  LinearKernel linear_f32, linear_bf16, linear_int8;
  void (*rms_norm)(const NormArgs&, int row_begin, int row_end);
  void (*causal_conv1d)(const ConvArgs&, const Span&, int channel_begin, int channel_end);
  void (*selective_scan)(const ScanArgs&, const Span&, int channel_begin, int channel_end);
  void (*log_probs)(Rows logits, int vocab, const ScoredRow* scored, int row_begin, int row_end);
  /** Per-element math, for tests: 0 exp2, 1 exp, 2 log, 3 log1p, 4 silu, 5 softplus; n is a multiple of 16. */
  void (*elementwise)(int function, const float* x, float* y, int n);
};

extern const Kernels kPortableKernels;
#if defined(LONGHAUL_X86)
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;
namespace avx512vnni {
void linear_int8(const LinearArgs&, int, int, int, int, int);
}
namespace avx512bf16 {
void linear_bf16(const LinearArgs&, int, int, int, int, int);
}
#endif

}  // namespace longhaul::cpu
