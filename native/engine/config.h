// The model's shape, resolved and checked in native/checkpoint.ts.
#pragma once

namespace longhaul {

struct ModelConfig {
  int vocab_size, n_layer, d_model, d_inner, d_state, d_conv, dt_rank;
  float norm_eps;        // block norms and the final norm
  float mixer_rms_eps;   // the weightless norms of dt, B and C
  bool mixer_norms;      // falcon_mamba has them, mamba has not
};

}  // namespace longhaul
