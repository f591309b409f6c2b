// Models of random weights in any shape, from one small file: tensors of a kind lie on top of each other in it, so a model of
// 7 B parameters needs the bytes of its largest tensor.
#pragma once

#include <string>

#include "engine/weights.h"

namespace longhaul {

/** What the projections are stored as. */
enum class Stored { bf16, int8, nf4 };

class SyntheticModel {
 public:
  /** `with_file`: else the checkpoint can be planned with, and not loaded. */
  SyntheticModel(const ModelConfig& config, Stored stored, bool with_file = true);
  ~SyntheticModel();
  SyntheticModel(const SyntheticModel&) = delete;
  const Checkpoint& checkpoint() const { return checkpoint_; }

 private:
  StoredRange region(uint64_t bytes, const std::string& kind);
  void add(const char* role, int layer, int rows, int cols, const char* kind);
  void write();

  const Stored stored_;
  Checkpoint checkpoint_;
  std::vector<std::pair<std::string, uint64_t>> regions_;  // one a kind: its longest use
  std::string path_;
};

ModelConfig falcon_mamba_7b();
/** A few layers of odd sizes, for checks. */
ModelConfig small_model();
ModelConfig tiny_model();

}  // namespace longhaul
