// The states of all open sessions: constant-size slots in slabs, so a pointer stays valid while its slot is in use.
//
// A slot holds, per layer: conv_state (d_conv - 1, d_inner), oldest column first; ssm_state by state_index. All fp32.
#pragma once

#include <mutex>
#include <vector>

#include "engine/config.h"
#include "engine/weights.h"

namespace longhaul {

class StatePool {
 public:
  StatePool(const ModelConfig& config, Backend& backend);
  static size_t slot_floats(const ModelConfig& config) {
    return size_t(config.n_layer) * padded(config.d_inner) * (config.d_conv - 1 + config.d_state);
  }

  /**
   * Any thread; the content is undefined until `clear`, `copy` or `restore`. Throws std::bad_alloc, or EngineError
   * out_of_memory where the backend adds no slabs and all slots are in use; changes nothing then.
   */
  int acquire();
  /** Any thread. Memory of slabs that nobody uses goes back to the backend, but for one. */
  void release(int slot);
  float* slot(int slot) const;
  size_t conv_offset(int layer) const { return layer * layer_floats_; }
  size_t ssm_offset(int layer) const { return layer * layer_floats_ + conv_floats_; }

  // Engine thread only; these do not throw.
  void clear(int slot);
  void copy(int from, int to);
  /** conv (n_layer, d_inner, d_conv - 1), ssm (n_layer, d_inner, d_state): the layout people see. */
  void snapshot(int slot, float* conv, float* ssm);
  void restore(int slot, const float* conv, const float* ssm);

 private:
  struct Slab {
    Buffer memory;
    std::vector<int> free;  // slots of it that are not in use
  };
  std::vector<Slab>::iterator add_slab();
  template <class Each>
  void each_element(int layer, const Each& each);

  const ModelConfig config_;
  Backend& backend_;
  const size_t d_inner_, conv_floats_, layer_floats_, slot_floats_;
  const int slab_slots_;
  mutable std::mutex mutex_;
  std::vector<Slab> slabs_;  // slot s lies in slab s / slab_slots_; one without memory has no free slots
  std::vector<float> staged_;  // (layer_floats_): one layer on its way in or out
};

}  // namespace longhaul
