// Fills the kernel table of one instruction set.
#include "backend/cpu/ops/kernels.h"

namespace longhaul::cpu {

#if defined(LONGHAUL_ISA_AVX512)
#define LONGHAUL_TABLE kAvx512Kernels
#elif defined(LONGHAUL_ISA_AVX2)
#define LONGHAUL_TABLE kAvx2Kernels
#else
#define LONGHAUL_TABLE kPortableKernels
#endif

const Kernels LONGHAUL_TABLE = {
    LONGHAUL_ISA::pack_rows, LONGHAUL_ISA::linear_f32,    LONGHAUL_ISA::linear_bf16,    LONGHAUL_ISA::linear_int8,
    LONGHAUL_ISA::rms_norm,  LONGHAUL_ISA::causal_conv1d, LONGHAUL_ISA::selective_scan, LONGHAUL_ISA::log_probs,
    LONGHAUL_ISA::elementwise,
};

}  // namespace longhaul::cpu
