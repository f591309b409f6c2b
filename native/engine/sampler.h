// Turns one row of logits into a token: repetition penalty, temperature, top-k, top-p, draw. No state but its scratch.
#pragma once

#include <cstdint>
#include <vector>

namespace longhaul {

struct Sampling {
  float temperature;                // 0 = greedy
  int top_k;                        // 0 = all
  float top_p;                      // 1 = all
  float repetition_penalty;         // 1 = off
  std::vector<int32_t> penalized;   // ids, each penalized once however often it occurs
  uint64_t seed, position;          // key and counter of the Philox stream
};

class Sampler {
 public:
  /** Overwrites `logits` (vocab). Throws EngineError engine_failure when no logit is a usable number. */
  int32_t sample(float* logits, int vocab, const Sampling& sampling);

 private:
  struct Candidate {
    float logit;
    int32_t id;
  };
  int32_t draw(int kept, double total, double u);
  void sort_prefix(int n);

  std::vector<Candidate> candidates_;
  int sorted_ = 0;
  std::vector<int32_t> unique_;
};

}  // namespace longhaul
