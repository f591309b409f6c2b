// The functions of backend/math over an array, so that tests can compare them between instruction sets.
#include "backend/cpu/ops/kernels.h"
#include "backend/math/activation.h"

namespace longhaul::cpu::LONGHAUL_ISA {

void elementwise(int function, const float* x, float* y, int n) {
  for (int i = 0; i < n; i += 16) {
    const F32x16 v = load(x + i);
    switch (function) {
      case 0: store(y + i, math::exp2(v)); break;
      case 1: store(y + i, math::exp(v)); break;
      case 2: store(y + i, math::log(v)); break;
      case 3: store(y + i, math::log1p(v)); break;
      case 4: store(y + i, math::silu(v)); break;
      default: store(y + i, math::softplus(v)); break;
    }
  }
}

}  // namespace longhaul::cpu::LONGHAUL_ISA
