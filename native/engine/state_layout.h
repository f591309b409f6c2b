// The two layouts of a state: a slot's, and the one people see.
//
//   slot     per layer: conv_state (d_conv - 1, d_inner), oldest column first; ssm_state by state_index; padded, fp32
//   outside  conv (n_layer, d_inner, d_conv - 1), ssm (n_layer, d_inner, d_state)
#pragma once

#include <algorithm>
#include <cstddef>

#include "backend/backend.h"
#include "engine/config.h"

namespace longhaul {

class StateLayout {
 public:
  explicit StateLayout(const ModelConfig& config)
      : config_(config),
        d_inner_(padded(config.d_inner)),
        conv_floats_((config.d_conv - 1) * d_inner_),
        layer_floats_(conv_floats_ + config.d_state * d_inner_) {}

  int layers() const { return config_.n_layer; }
  size_t layer_floats() const { return layer_floats_; }
  size_t slot_floats() const { return config_.n_layer * layer_floats_; }
  size_t conv_offset(int layer) const { return layer * layer_floats_; }
  size_t ssm_offset(int layer) const { return layer * layer_floats_ + conv_floats_; }

  /** One layer of a slot, `from`, to where it belongs outside. */
  void read(int layer, const float* from, float* conv, float* ssm) const {
    each(layer, [&](size_t inside, bool is_conv, size_t outside) { (is_conv ? conv : ssm)[outside] = from[inside]; });
  }
  /** One layer of a slot, `to`, from outside. */
  void write(int layer, float* to, const float* conv, const float* ssm) const {
    std::fill_n(to, layer_floats_, 0.0f);
    each(layer, [&](size_t inside, bool is_conv, size_t outside) { to[inside] = (is_conv ? conv : ssm)[outside]; });
  }

 private:
  template <class Each>
  void each(int layer, const Each& body) const {
    const int history = config_.d_conv - 1, d_state = config_.d_state;
    for (int i = 0; i < config_.d_inner; ++i) {
      const size_t row = size_t(layer) * config_.d_inner + i;
      for (int k = 0; k < history; ++k) body(k * d_inner_ + i, true, row * history + k);
      for (int n = 0; n < d_state; ++n) body(conv_floats_ + state_index(i, n, d_state), false, row * d_state + n);
    }
  }

  const ModelConfig config_;
  const size_t d_inner_, conv_floats_, layer_floats_;
};

}  // namespace longhaul
