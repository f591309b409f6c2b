#include "engine/state_pool.h"

#include <algorithm>
#include <string>

#include "engine/error.h"

namespace longhaul {
StatePool::StatePool(const ModelConfig& config, Backend& backend)
    : config_(config),
      backend_(backend),
      d_inner_(padded(config.d_inner)),
      conv_floats_((config.d_conv - 1) * d_inner_),
      layer_floats_(conv_floats_ + config.d_state * d_inner_),
      slot_floats_(config.n_layer * layer_floats_),
      slab_slots_(backend.slab_slots(slot_floats_)),
      staged_(layer_floats_) {
  if (!backend_.adds_slabs()) add_slab();
}

int StatePool::acquire() {
  const std::lock_guard lock(mutex_);
  // The first slab with room, so that the last ones run empty.
  auto slab = std::find_if(slabs_.begin(), slabs_.end(), [](const Slab& s) { return !s.free.empty(); });
  if (slab == slabs_.end()) {
    if (!backend_.adds_slabs())
      throw EngineError("out_of_memory", "all " + std::to_string(slab_slots_) + " states that were set up at load are in use (slots)");
    slab = add_slab();
  }
  const int slot = slab->free.back();
  slab->free.pop_back();
  return slot;
}

/** A slab with room, in the place of one that was given back, or behind all. */
std::vector<StatePool::Slab>::iterator StatePool::add_slab() {
  auto slab = std::find_if(slabs_.begin(), slabs_.end(), [](const Slab& s) { return !s.memory.data; });
  if (slab == slabs_.end()) slab = slabs_.emplace(slabs_.end());
  slab->free.reserve(slab_slots_);
  slab->memory = Buffer(backend_, slot_floats_ * slab_slots_);
  const int first = int(slab - slabs_.begin()) * slab_slots_;
  for (int i = slab_slots_ - 1; i >= 0; --i) slab->free.push_back(first + i);
  return slab;
}

void StatePool::release(int slot) {
  const std::lock_guard lock(mutex_);
  Slab& slab = slabs_[slot / slab_slots_];
  slab.free.push_back(slot);
  const auto unused = [&](const Slab& s) { return int(s.free.size()) == slab_slots_; };
  // One unused slab stays for the next session.
  if (!unused(slab) || std::count_if(slabs_.begin(), slabs_.end(), unused) < 2) return;
  slab.free.clear();
  slab.memory = Buffer();
}

float* StatePool::slot(int slot) const {
  const std::lock_guard lock(mutex_);
  return slabs_[slot / slab_slots_].memory.data + slot % slab_slots_ * slot_floats_;
}

void StatePool::clear(int to) { backend_.zero(slot(to), slot_floats_); }

void StatePool::copy(int from, int to) { backend_.copy(slot(to), slot(from), slot_floats_); }

/** Calls each(element of staged_, conv or ssm, index in the layout people see) for one layer. */
template <class Each>
void StatePool::each_element(int layer, const Each& each) {
  const int history = config_.d_conv - 1, d_state = config_.d_state;
  float* const conv = staged_.data();
  float* const ssm = conv + conv_floats_;
  for (int i = 0; i < config_.d_inner; ++i) {
    const size_t row = size_t(layer) * config_.d_inner + i;
    for (int k = 0; k < history; ++k) each(conv[k * d_inner_ + i], true, row * history + k);
    for (int n = 0; n < d_state; ++n) each(ssm[state_index(i, n, d_state)], false, row * d_state + n);
  }
}

void StatePool::snapshot(int from, float* conv, float* ssm) {
  for (int layer = 0; layer < config_.n_layer; ++layer) {
    backend_.download(staged_.data(), slot(from) + conv_offset(layer), layer_floats_);
    each_element(layer, [&](float& x, bool is_conv, size_t at) { (is_conv ? conv : ssm)[at] = x; });
  }
}

void StatePool::restore(int to, const float* conv, const float* ssm) {
  std::fill(staged_.begin(), staged_.end(), 0.0f);
  for (int layer = 0; layer < config_.n_layer; ++layer) {
    each_element(layer, [&](float& x, bool is_conv, size_t at) { x = (is_conv ? conv : ssm)[at]; });
    backend_.upload(slot(to) + conv_offset(layer), staged_.data(), layer_floats_);
  }
}

}  // namespace longhaul
