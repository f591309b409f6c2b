// Root-mean-square norm over the last axis.
//
//   y[t,i] = weight[i] (x[t,i] / sqrt(mean_i x[t,i]^2 + eps))
//
// x, y (rows, width), zero-padded to 16 columns · weight (width) or null for ones.
// Four vector accumulators take the vectors of a row in turn and are summed in one fixed tree. Memory-bound.
#include "backend/cpu/ops/kernels.h"

namespace longhaul::cpu::LONGHAUL_ISA {

void rms_norm(const NormArgs& args, int row_begin, int row_end) {
  const int columns = padded(args.width);
  for (int row = row_begin; row < row_end; ++row) {
    const float* x = args.x + size_t(row) * args.ldx;
    float* y = args.y + size_t(row) * args.ldy;
    F32x16 sum[4] = {broadcast(0.0f), broadcast(0.0f), broadcast(0.0f), broadcast(0.0f)};
    for (int i = 0; i < columns; i += 16) {
      const F32x16 v = load(x + i);
      F32x16& s = sum[(i / 16) & 3];
      s = fma(v, v, s);
    }
    const float squares = reduce_add((sum[0] + sum[1]) + (sum[2] + sum[3]));
    const F32x16 scale = broadcast(1.0f / __builtin_sqrtf(squares / float(args.width) + args.eps));
    if (args.weight)
      for (int i = 0; i < columns; i += 16) store(y + i, load(args.weight + i) * (load(x + i) * scale));
    else
      for (int i = 0; i < columns; i += 16) store(y + i, load(x + i) * scale);
  }
}

}  // namespace longhaul::cpu::LONGHAUL_ISA
