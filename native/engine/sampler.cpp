#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "engine/error.h"
#include "engine/philox.h"
#include "engine/row_scan.h"

namespace longhaul {

int32_t Sampler::sample(float* logits, int vocab, const Sampling& s) {
  shift(logits, s);
  const bool numbers = strided_maxima(logits, vocab, maxima_);
  const float top = *std::max_element(maxima_.begin(), maxima_.end());
  if (!numbers || !std::isfinite(top))
    throw EngineError("engine_failure", "the logits are not finite: nothing can be sampled from them");
  if (s.temperature == 0.0f) return int32_t(std::find(logits, logits + vocab, top) - logits);

  // Scaling keeps the order, so the maxima stay the maxima.
  scale(logits, vocab, top, s.temperature);
  scale(maxima_.data(), int(maxima_.size()), top, s.temperature);
  logits_ = logits;
  vocab_ = vocab;
  candidates_.clear();
  ranked_ = 0;

  int kept = vocab;
  if (s.top_k > 0 && s.top_k < vocab) rank(kept = s.top_k);
  const bool by_mass = s.top_p < 1.0f, by_ratio = s.min_p > 0.0f;
  double total = 0;
  if (by_mass || !by_ratio) {
    if (kept == vocab)
      total = sum_exp(logits, vocab);
    else
      for (int i = 0; i < kept; ++i) total += double(weights_[i]);
  }
  if (by_mass || by_ratio) {
    const double enough = by_mass ? double(s.top_p) * total : std::numeric_limits<double>::infinity();
    double sum = 0;
    int n = 0;
    while (n < kept && (n == 0 || sum < enough)) {
      rank(n + 1);
      if (n > 0 && weights_[n] < s.min_p) break;  // the best one weighs 1
      sum += double(weights_[n++]);
    }
    kept = n;
    total = sum;
  }
  return draw(kept, total, uniform(s.seed, s.position));
}

/** Logit bias and repetition penalty. */
void Sampler::shift(float* logits, const Sampling& s) {
  for (size_t i = 0; i < s.bias_ids.size(); ++i) logits[s.bias_ids[i]] += s.biases[i];
  if (s.repetition_penalty == 1.0f) return;
  unique_ = s.penalized;
  std::sort(unique_.begin(), unique_.end());
  unique_.erase(std::unique(unique_.begin(), unique_.end()), unique_.end());
  for (const int32_t id : unique_) {
    float& z = logits[id];
    z = z > 0 ? z / s.repetition_penalty : z * s.repetition_penalty;
  }
}

/** The first of the `kept` best candidates at which the cumulative weight passes u * total. */
int32_t Sampler::draw(int kept, double total, double u) {
  const double threshold = u * total;
  double sum = 0;
  for (int i = 0; i < kept; ++i) {
    rank(i + 1);
    sum += double(weights_[i]);
    if (sum > threshold) return candidates_[i].id;
  }
  return candidates_[kept - 1].id;  // rounding left the sum just below the threshold
}

/** Makes the first n candidates final. Grows geometrically, since few are ever needed. */
void Sampler::rank(int n) {
  if (n <= ranked_) return;
  const int goal = std::min(vocab_, std::max(n, std::max(64, ranked_ * 8)));
  if (int(candidates_.size()) < goal) collect(goal);
  const auto before = [](const Candidate& a, const Candidate& b) {
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
  };
  const auto begin = candidates_.begin() + ranked_;
  if (goal < int(candidates_.size()))
    std::nth_element(begin, candidates_.begin() + goal - 1, candidates_.end(), before);
  std::sort(begin, candidates_.begin() + goal, before);
  weights_.resize(size_t(goal));
  for (int i = ranked_; i < goal; ++i) weights_[i] = candidates_[i].logit;
  exp_all(weights_.data() + ranked_, goal - ranked_);
  ranked_ = goal;
}

/**
 * All candidates that can be among the n best: those that reach the n-th largest of the maxima, of which there are at
 * least n. Ranks them anew.
 */
void Sampler::collect(int n) {
  candidates_.clear();
  ranked_ = 0;
  float floor = -std::numeric_limits<float>::infinity();
  if (n <= int(maxima_.size())) {
    scratch_ = maxima_;
    std::nth_element(scratch_.begin(), scratch_.begin() + n - 1, scratch_.end(), std::greater<>());
    floor = scratch_[n - 1];
  }
  for (int i = 0; i < int(maxima_.size()); ++i) {
    if (maxima_[i] < floor) continue;
    const int run = i / kStride * kRun, end = std::min(vocab_, run + kRun);
    for (int id = run + i % kStride; id < end; id += kStride)
      if (logits_[id] >= floor) candidates_.push_back({logits_[id], id});
  }
}

}  // namespace longhaul
