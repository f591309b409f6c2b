// What a model needs of a device's memory, told before any of it is taken.
#pragma once

#include <cstddef>
#include <string>

#include "engine/quantize.h"
#include "engine/weights.h"

namespace longhaul {

struct MemoryPlan {
  size_t weights, activations, states, workspace;  // bytes; states: of the slots that are allocated together
  size_t total() const { return weights + activations + states + workspace; }
  std::string text() const;
};

/** Of `checkpoint` on `backend`: all that is taken of its memory. */
MemoryPlan plan_memory(const Checkpoint& checkpoint, Quantize quantize, const Backend& backend);

/** Throws EngineError out_of_memory with the plan and what is free, where that is less. */
void require_memory(const MemoryPlan& plan, const Backend& backend);

}  // namespace longhaul
