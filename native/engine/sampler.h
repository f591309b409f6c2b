// Turns one row of logits into a token. In the order of Hugging Face's generation: logit bias, repetition penalty,
// temperature, top-k, top-p, min-p; then one draw among what is left. No state but its scratch.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "backend/backend.h"

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

  /** What a backend is asked of row `row`. */
  static Shortlist shortlist(int row, int vocab, const Sampling& sampling);
  /**
   * The same token as from the whole row, or nothing where only the whole row tells. A draw needs the largest logit, the sum of
   * all weights and the beginning of the ranking; the first two are the same numbers, and the list is such a beginning.
   */
  std::optional<int32_t> sample(const Shortlist& found, int vocab, const Sampling& sampling);

 private:
  struct Candidate {
    float logit;
    int32_t id;
  };
  void shift(float* logits, const Sampling& sampling);
  std::optional<int32_t> choose(uint64_t weight_of_all, const Sampling& sampling);
  std::optional<int32_t> draw(int kept, double total, double u);
  bool rank(int n);
  void collect(int n);

  const float* logits_ = nullptr;  // the row, scaled: 0 is the best; null where a shortlist is all there is
  int vocab_ = 0;
  std::vector<float> maxima_, scratch_;  // see strided_maxima
  // The best so far: the first ranked_ are final, logit descending and id ascending, and have their weights.
  std::vector<Candidate> candidates_;
  std::vector<float> weights_;
  int ranked_ = 0;
  std::vector<int32_t> unique_;
};

}  // namespace longhaul
