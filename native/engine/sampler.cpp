#include "engine/sampler.h"

#include <algorithm>
#include <cmath>

#include "backend/math/exp_log.h"
#include "engine/error.h"
#include "engine/philox.h"

namespace longhaul {

int32_t Sampler::sample(float* logits, int vocab, const Sampling& s) {
  if (s.repetition_penalty != 1.0f) {
    unique_ = s.penalized;
    std::sort(unique_.begin(), unique_.end());
    unique_.erase(std::unique(unique_.begin(), unique_.end()), unique_.end());
    for (const int32_t id : unique_) {
      float& z = logits[id];
      z = z > 0 ? z / s.repetition_penalty : z * s.repetition_penalty;
    }
  }

  int32_t best = 0;
  bool unusable = false;
  for (int32_t id = 0; id < vocab; ++id) {
    unusable |= std::isnan(logits[id]);
    if (logits[id] > logits[best]) best = id;  // the lowest id among equals
  }
  if (unusable || !std::isfinite(logits[best]))
    throw EngineError("engine_failure", "the logits are not finite: nothing can be sampled from them");
  if (s.temperature == 0.0f) return best;

  candidates_.resize(size_t(vocab));
  const float top = logits[best];
  for (int32_t id = 0; id < vocab; ++id) candidates_[id] = {(logits[id] - top) / s.temperature, id};
  sorted_ = 0;

  int kept = vocab;
  if (s.top_k > 0 && s.top_k < vocab) {
    kept = s.top_k;
    sort_prefix(kept);
  }
  double total = 0;
  for (int i = 0; i < kept; ++i) total += double(math::exp(candidates_[i].logit));
  if (s.top_p < 1.0f) {
    const double enough = double(s.top_p) * total;
    double sum = 0;
    int n = 0;
    while (n < kept && (n == 0 || sum < enough)) {
      sort_prefix(n + 1);
      sum += double(math::exp(candidates_[n++].logit));
    }
    kept = n;
    total = sum;
  }
  return draw(kept, total, uniform(s.seed, s.position));
}

/** The first of the `kept` best candidates at which the cumulative weight passes u * total. */
int32_t Sampler::draw(int kept, double total, double u) {
  const double threshold = u * total;
  double sum = 0;
  for (int i = 0; i < kept; ++i) {
    sort_prefix(i + 1);
    sum += double(math::exp(candidates_[i].logit));
    if (sum > threshold) return candidates_[i].id;
  }
  return candidates_[kept - 1].id;  // rounding left the sum just below the threshold
}

/** Makes the first n candidates final: logit descending, id ascending. Grows geometrically, since few are ever needed. */
void Sampler::sort_prefix(int n) {
  if (n <= sorted_) return;
  const int size = int(candidates_.size());
  const int goal = std::min(size, std::max(n, std::max(64, sorted_ * 8)));
  const auto before = [](const Candidate& a, const Candidate& b) {
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
  };
  const auto begin = candidates_.begin() + sorted_;
  if (goal < size) std::nth_element(begin, candidates_.begin() + goal - 1, candidates_.end(), before);
  std::sort(begin, candidates_.begin() + goal, before);
  sorted_ = goal;
}

}  // namespace longhaul
