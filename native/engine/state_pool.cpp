#include "engine/state_pool.h"

namespace longhaul {
namespace {

constexpr int kSlabSlots = 8;

}  // namespace

StatePool::StatePool(const ModelConfig& config, Backend& backend)
    : config_(config),
      backend_(backend),
      d_inner_(padded(config.d_inner)),
      conv_floats_((config.d_conv - 1) * d_inner_),
      layer_floats_(conv_floats_ + config.d_state * d_inner_),
      slot_floats_(config.n_layer * layer_floats_) {}

int StatePool::acquire() {
  const std::lock_guard lock(mutex_);
  if (free_.empty()) {
    slabs_.emplace_back(backend_, slot_floats_ * kSlabSlots);
    const int first = int(slabs_.size() - 1) * kSlabSlots;
    for (int i = kSlabSlots - 1; i >= 0; --i) free_.push_back(first + i);
  }
  const int slot = free_.back();
  free_.pop_back();
  return slot;
}

void StatePool::release(int slot) {
  const std::lock_guard lock(mutex_);
  free_.push_back(slot);
}

float* StatePool::slot(int slot) const {
  const std::lock_guard lock(mutex_);
  return slabs_.at(slot / kSlabSlots).data + slot % kSlabSlots * slot_floats_;
}

void StatePool::clear(int to) { backend_.zero(slot(to), slot_floats_); }

void StatePool::copy(int from, int to) { backend_.copy(slot(to), slot(from), slot_floats_); }

/** Calls each(element of staged, conv or ssm, index in the layout people see). */
template <class Each>
void StatePool::each_element(float* staged, const Each& each) const {
  const int history = config_.d_conv - 1;
  for (int layer = 0; layer < config_.n_layer; ++layer)
    for (int i = 0; i < config_.d_inner; ++i) {
      const size_t row = size_t(layer) * config_.d_inner + i;
      for (int k = 0; k < history; ++k) each(staged[conv_offset(layer) + k * d_inner_ + i], true, row * history + k);
      for (int n = 0; n < config_.d_state; ++n)
        each(staged[ssm_offset(layer) + state_index(i, n, config_.d_state)], false, row * config_.d_state + n);
    }
}

void StatePool::snapshot(int from, float* conv, float* ssm) {
  staging_.resize(slot_floats_);
  backend_.download(staging_.data(), slot(from), slot_floats_);
  each_element(staging_.data(), [&](float& x, bool is_conv, size_t at) { (is_conv ? conv : ssm)[at] = x; });
}

void StatePool::restore(int to, const float* conv, const float* ssm) {
  staging_.assign(slot_floats_, 0.0f);
  each_element(staging_.data(), [&](float& x, bool is_conv, size_t at) { x = (is_conv ? conv : ssm)[at]; });
  backend_.upload(slot(to), staging_.data(), slot_floats_);
}

}  // namespace longhaul
