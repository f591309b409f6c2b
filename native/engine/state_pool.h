// The states of all open sessions: constant-size slots in slabs, so a pointer stays valid while its slot is in use.
//
// What a slot holds says state_layout.h.
#pragma once

#include <mutex>
#include <vector>

#include "engine/config.h"
#include "engine/state_layout.h"
#include "engine/weights.h"

namespace longhaul {

class StatePool {
 public:
  StatePool(const ModelConfig& config, Backend& backend);
  static size_t slot_floats(const ModelConfig& config) { return StateLayout(config).slot_floats(); }

  /**
   * Any thread; the content is undefined until `clear`, `copy` or `restore`. Throws std::bad_alloc, or EngineError
   * out_of_memory where the backend adds no slabs and all slots are in use; changes nothing then.
   */
  int acquire();
  /** Any thread. Memory of slabs that nobody uses goes back to the backend, but for one. */
  void release(int slot);
  float* slot(int slot) const;
  size_t conv_offset(int layer) const { return layout_.conv_offset(layer); }
  size_t ssm_offset(int layer) const { return layout_.ssm_offset(layer); }

  // Engine thread only. The last two return when they are done, and so wait for what runs; state_transfer.h does not.
  void clear(int slot);
  void copy(int from, int to);
  void snapshot(int slot, float* conv, float* ssm);
  void restore(int slot, const float* conv, const float* ssm);

 private:
  struct Slab {
    Buffer memory;
    std::vector<int> free;  // slots of it that are not in use
  };
  std::vector<Slab>::iterator add_slab();

  const StateLayout layout_;
  Backend& backend_;
  const size_t slot_floats_;
  const int slab_slots_;
  mutable std::mutex mutex_;
  std::vector<Slab> slabs_;  // slot s lies in slab s / slab_slots_; one without memory has no free slots
  std::vector<float> staged_;  // one layer on its way in or out
};

}  // namespace longhaul
