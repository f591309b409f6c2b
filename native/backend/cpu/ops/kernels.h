// The kernels of one instruction set; compiled once for each.
#pragma once

#include "backend/cpu/kernels.h"
#include "backend/cpu/simd/f32x16.h"

namespace longhaul::cpu::LONGHAUL_ISA {

void pack_rows(const PackedRows& packed, Rows x, int n_in, int row_begin, int row_end);
void linear_f32(const LinearArgs& args, int tile_begin, int tile_end, int rows, int panel_begin, int panel_end);
void linear_bf16(const LinearArgs& args, int tile_begin, int tile_end, int rows, int panel_begin, int panel_end);
void linear_int8(const LinearArgs& args, int tile_begin, int tile_end, int rows, int panel_begin, int panel_end);
void rms_norm(const NormArgs& args, int row_begin, int row_end);
void causal_conv1d(const ConvArgs& args, const Span& span, int channel_begin, int channel_end);
void selective_scan(const ScanArgs& args, const Span& span, int channel_begin, int channel_end);
void log_probs(Rows logits, int vocab, const ScoredRow* scored, int row_begin, int row_end);
void elementwise(int function, const float* x, float* y, int n);

}  // namespace longhaul::cpu::LONGHAUL_ISA
