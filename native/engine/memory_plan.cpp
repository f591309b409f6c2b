#include "engine/memory_plan.h"

#include <algorithm>
#include <set>

#include "engine/error.h"
#include "engine/model.h"

namespace longhaul {
namespace {

std::string mib(size_t bytes) { return std::to_string((bytes + (1 << 20) - 1) >> 20) + " MiB"; }

}  // namespace

std::string MemoryPlan::text() const {
  return "weights " + mib(weights) + " + activations " + mib(activations) + " + states " + mib(states) + " + workspace " + mib(workspace) + " = " + mib(total());
}

MemoryPlan plan_memory(const Checkpoint& checkpoint, Quantize quantize, const Backend& backend) {
  const std::set<std::string> projections = {"in_proj", "x_proj", "dt_proj", "out_proj"};
  MemoryPlan plan{};
  const TensorSource* embeddings = nullptr;
  bool tied = true;
  size_t scratch = 0;
  const auto head = [&](const TensorSource& t) {
    const Dtype dtype = quantize == Quantize::none ? t.dtype : Dtype::int8;
    plan.weights += backend.matrix_bytes(dtype, t.rows, t.cols);
    scratch = std::max(scratch, backend.scratch_bytes(dtype, t.rows, t.cols));
  };
  for (const TensorSource& t : checkpoint.tensors) {
    const bool stored = t.quantization.dtype == Dtype::int8 || t.quantization.dtype == Dtype::code4;
    if (t.role == "embeddings") {
      embeddings = &t;
      plan.weights += t.bytes;
    } else if (t.role == "lm_head") {
      tied = false;
      head(t);
    } else if (projections.count(t.role)) {
      const Dtype dtype = stored ? t.quantization.dtype
                          : quantize == Quantize::int8 ? Dtype::int8
                          : quantize == Quantize::fp8  ? Dtype::fp8
                          : quantize == Quantize::nf4  ? Dtype::code4
                                                       : t.dtype;
      plan.weights += backend.matrix_bytes(dtype, t.rows, t.cols);
      scratch = std::max(scratch, backend.scratch_bytes(dtype, t.rows, t.cols));
    } else {
      plan.weights += size_t(padded(t.rows)) * t.cols * 4;
    }
  }
  if (tied && embeddings) head(*embeddings);
  const BlockShape shape(checkpoint.config, backend);
  plan.activations = shape.floats() * 4;
  const size_t slot = StatePool::slot_floats(checkpoint.config);
  plan.states = (size_t(backend.slab_slots(slot)) + Model::spare_states(backend)) * slot * 4;
  plan.workspace = backend.workspace_bytes() + scratch;
  return plan;
}

void require_memory(const MemoryPlan& plan, const Backend& backend) {
  const size_t free = backend.free_bytes();
  if (plan.total() <= free) return;
  throw EngineError("out_of_memory", "the model needs " + plan.text() + " on " + backend.device() + ", " + mib(free) + " are free");
}

}  // namespace longhaul
