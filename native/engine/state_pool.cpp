#include "engine/state_pool.h"

#include <algorithm>
#include <string>

#include "engine/error.h"

namespace longhaul {
StatePool::StatePool(const ModelConfig& config, Backend& backend)
    : layout_(config),
      backend_(backend),
      slot_floats_(layout_.slot_floats()),
      slab_slots_(backend.slab_slots(slot_floats_)),
      staged_(layout_.layer_floats()) {
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

void StatePool::snapshot(int from, float* conv, float* ssm) {
  for (int layer = 0; layer < layout_.layers(); ++layer) {
    backend_.download(staged_.data(), slot(from) + layout_.conv_offset(layer), staged_.size());
    layout_.read(layer, staged_.data(), conv, ssm);
  }
}

void StatePool::restore(int to, const float* conv, const float* ssm) {
  for (int layer = 0; layer < layout_.layers(); ++layer) {
    layout_.write(layer, staged_.data(), conv, ssm);
    backend_.upload(slot(to) + layout_.conv_offset(layer), staged_.data(), staged_.size());
  }
}

}  // namespace longhaul
