// One folder of goldens (test/fixtures/README.md): a small checkpoint, and what the reference made of it in double precision.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/weights.h"
#include "gpu/json.h"

namespace longhaul {

class GoldenFolder {
 public:
  /** Throws std::runtime_error where a file is missing or is not what it should be. */
  explicit GoldenFolder(const std::string& dir);

  const Checkpoint& checkpoint() const { return checkpoint_; }
  const Json& manifest() const { return manifest_; }
  std::vector<std::string> names() const;
  bool has(const std::string& name) const { return header_.count(name) > 0; }
  std::vector<double> values(const std::string& name) const;
  std::vector<int32_t> ids(const std::string& name) const;
  std::vector<int> shape(const std::string& name) const;
  /** (rows, d_conv) of Hugging Face without its oldest column, which is never read again; (rows, d_conv - 1). */
  std::vector<double> conv_state(const std::string& name) const;
  std::vector<double> ssm_state(const std::string& name) const { return values(name + ".ssm_state.f64"); }

  /** How far an engine in f32 may stand from double precision: scripts/golden/tolerance.ts says why. */
  struct Tolerances {
    double logits, logprob, conv, ssm;
  };
  Tolerances tolerances() const;

 private:
  void read_checkpoint(const std::string& dir);
  double limit(const std::string& suffix, const char* listed) const;

  Checkpoint checkpoint_;
  Json manifest_;
  std::map<std::string, Json> header_;
  std::string data_;
};

/** The folders of goldens right below `path`, or `path` itself; sorted. */
std::vector<std::string> golden_folders(const std::string& path);

}  // namespace longhaul
