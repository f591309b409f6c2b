#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "backend/math/fixed_weight.h"
#include "engine/error.h"
#include "engine/philox.h"
#include "engine/row_scan.h"

namespace longhaul {

namespace {

[[noreturn]] void refuse() {
  throw EngineError("engine_failure", "the logits are not finite: nothing can be sampled from them");
}

/** Whether a choice can depend on the weight of all tokens. */
bool needs_total(const Sampling& s, int vocab) {
  return !(s.top_k > 0 && s.top_k < vocab) && (s.top_p < 1.0f || s.min_p <= 0.0f);
}

}  // namespace

int32_t Sampler::sample(float* logits, int vocab, const Sampling& s) {
  shift(logits, s);
  const bool numbers = strided_maxima(logits, vocab, maxima_);
  const float top = *std::max_element(maxima_.begin(), maxima_.end());
  if (!numbers || !std::isfinite(top)) refuse();
  if (s.temperature == 0.0f) return int32_t(std::find(logits, logits + vocab, top) - logits);

  // Scaling keeps the order, so the maxima stay the maxima.
  scale(logits, vocab, top, s.temperature);
  scale(maxima_.data(), int(maxima_.size()), top, s.temperature);
  logits_ = logits;
  vocab_ = vocab;
  candidates_.clear();
  ranked_ = 0;
  return *choose(needs_total(s, vocab) ? sum_exp(logits, vocab) : 0, s);
}

Shortlist Sampler::shortlist(int row, int vocab, const Sampling& s) {
  // More than are drawn from but rarely, and few enough that what equals them has room.
  constexpr int kWanted = kMostShort * 3 / 4;
  Shortlist out{};
  out.row = row;
  out.temperature = s.temperature;
  out.penalty = s.repetition_penalty;
  out.wanted = s.top_k > 0 && s.top_k < vocab ? std::min(s.top_k, kWanted) : kWanted;
  for (size_t i = 0; i < s.bias_ids.size(); ++i) out.edits.push_back({s.bias_ids[i], s.biases[i], 0});
  if (s.repetition_penalty != 1.0f)
    for (const int32_t id : s.penalized) out.edits.push_back({id, 0.0f, 1});
  // One edit an id: its bias, which is asked for once, and whether it is penalized.
  const auto by_id = [](const LogitEdit& a, const LogitEdit& b) { return a.id < b.id; };
  std::stable_sort(out.edits.begin(), out.edits.end(), by_id);
  size_t kept = 0;
  for (const LogitEdit& edit : out.edits) {
    if (kept > 0 && out.edits[kept - 1].id == edit.id)
      out.edits[kept - 1].penalized |= edit.penalized;
    else
      out.edits[kept++] = edit;
  }
  out.edits.resize(kept);
  return out;
}

std::optional<int32_t> Sampler::sample(const Shortlist& found, int vocab, const Sampling& s) {
  if (!found.finite) refuse();
  if (s.temperature == 0.0f) return found.best;
  logits_ = nullptr;
  vocab_ = vocab;
  candidates_.clear();
  ranked_ = 0;
  for (size_t i = 0; i < found.ids.size(); ++i) candidates_.push_back({found.z[i], found.ids[i]});
  return choose(found.total, s);
}

std::optional<int32_t> Sampler::choose(uint64_t weight_of_all, const Sampling& s) {
  int kept = vocab_;
  if (s.top_k > 0 && s.top_k < vocab_ && !rank(kept = s.top_k)) return {};
  const bool by_mass = s.top_p < 1.0f, by_ratio = s.min_p > 0.0f;
  double total = 0;
  if (kept == vocab_)
    total = math::from_fixed(weight_of_all);
  else
    for (int i = 0; i < kept; ++i) total += double(weights_[i]);
  if (by_mass || by_ratio) {
    const double enough = by_mass ? double(s.top_p) * total : std::numeric_limits<double>::infinity();
    double sum = 0;
    int n = 0;
    while (n < kept && (n == 0 || sum < enough)) {
      if (!rank(n + 1)) return {};
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
std::optional<int32_t> Sampler::draw(int kept, double total, double u) {
  const double threshold = u * total;
  double sum = 0;
  for (int i = 0; i < kept; ++i) {
    if (!rank(i + 1)) return {};
    sum += double(weights_[i]);
    if (sum > threshold) return candidates_[i].id;
  }
  return candidates_[kept - 1].id;  // rounding left the sum just below the threshold
}

/** Makes the first n candidates final; false where a shortlist has fewer. Grows geometrically, since few are ever needed. */
bool Sampler::rank(int n) {
  if (n <= ranked_) return true;
  const int most = logits_ ? vocab_ : int(candidates_.size());
  if (n > most) return false;
  const int goal = std::min(most, std::max(n, std::max(64, ranked_ * 8)));
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
  return true;
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
