// Tokens drawn from what the device cuts out of a row, against the sampler on the whole row.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <optional>

#include "engine/error.h"
#include "engine/sampler.h"
#include "gpu/checks.h"
#include "test/op_cases.h"

namespace longhaul {
namespace {

using op_cases::Device;
using op_cases::Floats;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct RowKind {
  const char* name;
  float (*logit)(std::mt19937&, int id, int vocab);
};

float uniform(std::mt19937& random, float scale) { return (float(random()) * 0x1p-31f - 1.0f) * scale; }

const RowKind kinds[] = {
    {"as a model's", [](std::mt19937& r, int, int) { return uniform(r, 6.0f) + uniform(r, 4.0f) + uniform(r, 4.0f); }},
    {"peaked", [](std::mt19937& r, int id, int) { return id == 17 ? 30.0f : uniform(r, 3.0f); }},
    {"ties", [](std::mt19937& r, int, int) { return std::round(uniform(r, 6.0f)); }},
    {"all equal", [](std::mt19937&, int, int) { return 2.5f; }},
    {"closer than their scaled values", [](std::mt19937& r, int, int) { return 100.0f + float(r() % 8) * 0x1p-17f; }},
    {"mostly -inf", [](std::mt19937& r, int id, int) { return id % 13 == 5 ? uniform(r, 5.0f) : -kInfinity; }},
    {"best last", [](std::mt19937& r, int id, int vocab) { return id + 1 == vocab ? 9.0f : uniform(r, 8.0f); }},
    {"a run of the best", [](std::mt19937& r, int id, int) { return id / 40 == 1 ? 8.0f + uniform(r, 1.0f) : uniform(r, 6.0f); }},
    {"zeros of both signs", [](std::mt19937& r, int id, int) { return id % 2 ? -0.0f : r() % 3 ? -1.0f : 0.0f; }},
    {"NaN", [](std::mt19937& r, int id, int) { return id == 3 ? std::nanf("") : uniform(r, 5.0f); }},
    {"all -inf", [](std::mt19937&, int, int) { return -kInfinity; }},
    {"+inf", [](std::mt19937& r, int id, int) { return id == 20 ? kInfinity : uniform(r, 5.0f); }},
};

std::vector<Sampling> samplings(int vocab) {
  const auto one = [](float temperature, int top_k, float top_p, float min_p, float penalty = 1.0f) {
    Sampling s{};
    s.temperature = temperature;
    s.top_k = top_k;
    s.top_p = top_p;
    s.min_p = min_p;
    s.repetition_penalty = penalty;
    return s;
  };
  std::vector<Sampling> all = {one(0, 0, 1, 0),      one(0, 0, 1, 0, 1.3f),     one(1, 0, 1, 0),       one(0.7f, 40, 1, 0),
                               one(1.2f, 0, 0.9f, 0), one(0.9f, 50, 0.95f, 0.05f), one(1, 0, 1, 0.02f), one(0.05f, 0, 1, 0),
                               one(1, 1, 1, 0, 0.5f), one(3, 300, 1, 0),           one(1, 0, 0.5f, 0.1f, 1.2f), one(1e-30f, 0, 1, 0)};
  for (size_t i = 0; i < all.size(); ++i) {
    all[i].seed = 77 + i;
    all[i].position = i * i;
    if (i % 3 == 1) {
      all[i].bias_ids = {1, vocab - 1, vocab / 2};
      all[i].biases = {4.0f, 11.0f, -90.0f};
    }
    if (all[i].repetition_penalty != 1.0f) all[i].penalized = {0, vocab - 1, 17 % vocab, 0, 2 % vocab};
  }
  return all;
}

/** -1 where the sampler refuses. */
template <class Sample>
int32_t token_of(const Sample& sample) {
  try {
    return sample();
  } catch (const EngineError&) {
    return -1;
  }
}

bool same(const Shortlist& a, const Shortlist& b) {
  const auto pairs = [](const Shortlist& s) {
    std::vector<std::pair<int32_t, float>> out;
    for (size_t i = 0; i < s.ids.size(); ++i) out.emplace_back(s.ids[i], s.z[i]);
    std::sort(out.begin(), out.end());
    return out;
  };
  if (a.finite != b.finite) return false;
  return !a.finite || (a.best == b.best && a.total == b.total && pairs(a) == pairs(b));
}

}  // namespace

int check_sampling(const CudaOptions& options) {
  const auto backend = create_cuda_backend(options);
  int failed = 0;
  for (const int vocab : {40, 1500, 9001}) {
    std::mt19937 random(vocab);
    std::vector<Sampling> wanted;
    std::vector<Shortlist> found;
    Floats logits;
    for (const RowKind& kind : kinds)
      for (const Sampling& sampling : samplings(vocab)) {
        found.push_back(Sampler::shortlist(int(found.size()), vocab, sampling));
        wanted.push_back(sampling);
        Floats row(padded(vocab), 50.0f);  // beyond the vocabulary: never a candidate
        for (int id = 0; id < vocab; ++id) row[id] = kind.logit(random, id, vocab);
        logits.insert(logits.end(), row.begin(), row.end());
      }
    const Device device(*backend, logits);
    const Rows rows{device.data, padded(vocab)};
    const std::vector<Shortlist> asked = found;
    const bool cut = backend->shortlist(rows, vocab, found);
    const Floats after = device.host();
    bool right = cut && !std::memcmp(after.data(), logits.data(), logits.size() * 4), alone = true;
    int drawn = 0, by_list = 0;
    Sampler sampler;
    std::string wrong;
    for (size_t i = 0; i < found.size(); ++i) {
      const int32_t expected = token_of([&] {
        Floats whole(&logits[i * padded(vocab)], &logits[i * padded(vocab)] + vocab);
        return sampler.sample(whole.data(), vocab, wanted[i]);
      });
      bool whole = false;
      const int32_t token = token_of([&] {
        const std::optional<int32_t> drawn = sampler.sample(found[i], vocab, wanted[i]);
        whole = !drawn;
        return drawn.value_or(expected);
      });
      drawn += expected >= 0;
      by_list += expected >= 0 && !whole;
      if (token != expected || (whole && wanted[i].temperature == 0.0f)) {
        right = false;
        wrong = std::string(", not for ") + kinds[i / samplings(vocab).size()].name + ", sampling " + std::to_string(i % samplings(vocab).size());
      }
      if (i % 17) continue;
      std::vector<Shortlist> single = {asked[i]};
      backend->shortlist(rows, vocab, single);
      alone &= same(single[0], found[i]);
    }
    char detail[160];
    std::snprintf(detail, sizeof detail, "%d of %d rows by the list alone%s", by_list, drawn, wrong.c_str());
    const std::string name = "sampling from " + std::to_string(vocab);
    // Flat rows need the whole row; a list that is never enough would prove nothing.
    const bool ok = right && by_list * 2 > drawn;
    std::printf("%s %s: the token of the whole row # %s\n", ok ? "ok" : "not ok", name.c_str(), detail);
    std::printf("%s %s: the same list whoever shares the call # every 17th row\n", alone ? "ok" : "not ok", name.c_str());
    failed += !ok + !alone;
  }
  return failed;
}

}  // namespace longhaul
