// Turns one row of logits into a token. In the order of Hugging Face's generation: logit bias, repetition penalty,
// temperature, top-k, top-p, min-p; then one draw among what is left. No state but its scratch.
#pragma once

#include <cstdint>
#include <vector>

namespace longhaul {

struct Sampling {
  float temperature;                // 0 = greedy
  int top_k;                        // 0 = all
  float top_p;                      // 1 = all
  float min_p;                      // keeps p >= min_p * the largest p; 0 = all
  float repetition_penalty;         // 1 = off
  std::vector<int32_t> penalized;   // ids, each penalized once however often it occurs
  std::vector<int32_t> bias_ids;    // what is added to the logits of these ids, before anything else
  std::vector<float> biases;
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
  void shift(float* logits, const Sampling& sampling);
  int32_t draw(int kept, double total, double u);
  void rank(int n);
  void collect(int n);

  const float* logits_ = nullptr;  // the row, scaled: 0 is the best
  int vocab_ = 0;
  std::vector<float> maxima_, scratch_;  // see strided_maxima
  // The best so far: the first ranked_ are final, logit descending and id ascending, and have their weights.
  std::vector<Candidate> candidates_;
  std::vector<float> weights_;
  int ranked_ = 0;
  std::vector<int32_t> unique_;
};

}  // namespace longhaul
