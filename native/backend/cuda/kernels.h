// The kernels, a file each in kernels/. Pointers are device memory unless they say `host`; widths and strides are in elements and
// multiples of kAlign. bf16 rows come as uint16_t behind a `Typed`.
#pragma once

#include <cstdint>

#include "backend/backend.h"
#include "backend/cuda/runtime.h"

namespace longhaul::cuda {

/** Rows of either element. */
struct Typed {
  void* data;
  int ld;
  bool bf16;
};
inline Typed typed(Rows rows) { return {rows.data, rows.ld, rows.element == Element::bf16}; }
inline Typed columns_of(Typed rows, int first) { return {static_cast<char*>(rows.data) + size_t(first) * (rows.bf16 ? 2 : 4), rows.ld, rows.bf16}; }

struct EmbedArgs {
  const void* table;  // (vocab, width)
  Dtype dtype;        // f32, f16 or bf16
  int width;
  const int32_t* tokens;
  float* out;
  int ld;
};
void embed(Stream& stream, const EmbedArgs& args, int rows);

/** out[i] = x[source[i]], `width` floats each. */
struct GatherArgs {
  const float* x;
  int ldx;
  const int32_t* source;
  int width;
  float* out;
  int ld;
};
void gather(Stream& stream, const GatherArgs& args, int rows);

struct NormArgs {
  const float* x;
  int ldx;
  const float* weight;  // or null
  int width;
  float eps;
  Typed out;
};
void rms_norm(Stream& stream, const NormArgs& args, int rows);

/** dt to `dt_in`, B and C in place, each divided by the root of its mean square. */
struct MixerNormsArgs {
  const float* dt;
  float *b, *c;
  int ld, dt_rank, d_state;
  float eps;
  Typed dt_in;
  int rows;
};
void mixer_norms(Stream& stream, const MixerNormsArgs& args);

/** A run of one span's rows: the work of one block of the convolution. */
struct ConvTile {
  int span, first, rows;  // rows of the span, from `first`
};
constexpr int kConvTileRows = 32;
constexpr int kMostTaps = 8;

struct ConvArgs {
  ConvWeights w;
  int d_inner;  // padded
  Typed x, u;
  const Span* spans;
  const ConvTile* tiles;
  size_t state_offset;
};
/** `long_spans`: some span has more than one tile. */
void causal_conv1d(Stream& stream, const ConvArgs& args, int tiles, int spans, bool long_spans);

constexpr int kMostStates = 64;

struct ScanArgs {
  ScanWeights w;
  int d_inner;  // padded
  Typed u, z, y;
  const float *dt, *b, *c;
  int lddt, ldb, ldc;
  const Span* spans;
  size_t state_offset;
};
void selective_scan(Stream& stream, const ScanArgs& args, int spans);

/** Weights of a row that share a scale, of code4 on the device. */
constexpr int kCodeBlock = 64;

/** What 4-bit codes stand for, and the two values of a byte rounded to bf16, the high nibble's in the low half. */
struct Codes {
  float values[16];
  uint32_t pairs[256];
  /** values: (16) */
  static Codes of(const float* values);
};

/** A weight on the device, (n_out, n_in) row-major. */
struct WeightView {
  Dtype dtype;          // f32, bf16, int8, code4, fp8
  const void* data;     // code4: element 2j in the high nibble of byte j
  const float* scales;  // int8, fp8: (n_out). code4: (n_out, n_in / block_size)
  const Codes* code;    // code4
  int n_in, n_out;
  int block_size;  // code4: kCodeBlock
};

/** `rows` of its rows from `first` on. */
inline WeightView rows_of(WeightView w, int first, int rows) {
  const size_t cells = size_t(first) * w.n_in;
  const bool bytes = w.dtype == Dtype::int8 || w.dtype == Dtype::fp8;
  const size_t skipped = w.dtype == Dtype::f32 ? cells * 4 : w.dtype == Dtype::bf16 ? cells * 2 : bytes ? cells : cells / 2;
  w.data = static_cast<const char*>(w.data) + skipped;
  if (bytes) w.scales += first;
  if (w.dtype == Dtype::code4) w.scales += cells / w.block_size;
  w.n_out = rows;
  return w;
}

struct LinearArgs {
  WeightView w;
  const float* bias;  // or null
  Typed x;            // linear_mma: bf16. linear_f32: f32
  int rows;
  Typed y;
  bool accumulate;  // y is fp32 then
};
/** bf16, int8, code4 and fp8 weights by bf16 activations on tensor cores; the same bits of a row whatever `rows`. */
void linear_mma(Stream& stream, const LinearArgs& args);
/** bf16 weights by bf16 activations, made for many rows: the same bits of a row whatever `rows`, others than linear_mma's. No bias. */
void linear_tiles(Stream& stream, const LinearArgs& args);
/** fp32 by fp32, one chain over k. */
void linear_f32(Stream& stream, const LinearArgs& args);

/** `linear_mma` with the convolution's step at its end: rows of w below d_inner are x, the others z. y is bf16, its x unwritten. */
struct InProjConvArgs : LinearArgs {
  ConvWeights conv;
  int d_inner;  // padded
  const Span* spans;
  size_t state_offset;
  Typed u;  // bf16
};
void in_proj_conv(Stream& stream, const InProjConvArgs& args);

constexpr int kMostDtRank = 512;

/** From x_proj's rows to y, one token of each sequence. */
struct StateUpdateArgs {
  WeightView dt_proj;  // bf16, int8 or code4
  ScanWeights w;
  int d_inner;  // padded
  int rows, dt_rank;
  const float *dt, *b, *c;
  int ld;
  bool norms;
  float eps;
  Typed u, z, y;  // bf16
  const Span* spans;
  size_t state_offset;
};
void selective_state_update(Stream& stream, const StateUpdateArgs& args);

/** (rows, width) fp32 to bf16, to nearest even. */
struct ConvertArgs {
  const float* x;
  int ldx, width;
  uint16_t* out;
  int ld;
};
void convert(Stream& stream, const ConvertArgs& args, int rows);

/** An int8, code4 or fp8 weight as bf16 (n_out, n_in). */
void dequantize(Stream& stream, const WeightView& w, uint16_t* out);

/** Rows of activations as e4m3, each with a scale: x = e4m3(out) scale. What a row becomes depends on that row alone. */
struct QuantizeRowsArgs {
  Typed x;
  int width;
  uint8_t* out;  // (rows, width)
  float* scales;
};
void quantize_rows(Stream& stream, const QuantizeRowsArgs& args, int rows);

/** y[r, c] = product[r, c] x_scales[r] w_scales[c], or y += that. */
struct ScaleProductArgs {
  const float* product;  // (rows, width)
  const float* x_scales;
  const float* w_scales;
  int width;
  Typed y;
  bool accumulate;  // y is fp32 then
};
void scale_product(Stream& stream, const ScaleProductArgs& args, int rows);

/** y[i] += bias. */
struct BiasArgs {
  const float* bias;
  int width;
  Typed y;
};
void add_bias(Stream& stream, const BiasArgs& args, int rows);

struct ShortlistSpec {
  int32_t row;
  float temperature, penalty;
  int32_t wanted, edits_begin, edits_end;
};
struct ShortlistFound {
  uint64_t total;
  int32_t finite, best, count;
};
/** As backend.h tells of a Shortlist; `ids` and `z` are (rows, kMostShort), count of them are filled, 0 where they are too many. */
struct ShortlistArgs {
  float* logits;
  int ld, vocab;
  const ShortlistSpec* specs;
  const LogitEdit* edits;
  float* saved;  // one of each edit
  ShortlistFound* found;
  int32_t* ids;
  float* z;
};
void shortlist(Stream& stream, const ShortlistArgs& args, int rows);

/** Per row: target -1 writes nothing. `best` is (rows, kMaxTop) and holds ids and log-probabilities, descending. */
struct LogProbsArgs {
  const float* logits;
  int ld, vocab;
  const int32_t* targets;
  const int32_t* tops;
  float* logprob;  // (rows)
  int32_t* best_ids;
  float* best_logprobs;
};
void log_probs(Stream& stream, const LogProbsArgs& args, int rows);

}  // namespace longhaul::cuda
