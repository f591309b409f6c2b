#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/model.h"
#include "gpu/checks.h"
#include "gpu/golden_folder.h"

namespace longhaul {
namespace {

using Floats = std::vector<float>;
using Ids = std::vector<int32_t>;

// The device's exponentials and logarithms are good to a few units in the last place, not to one; as in check_ops.
constexpr double kDevice = 4;
// Ours round activations to 16 bits at fewer places than the reference's own run in bf16, whose error is stored.
constexpr double kMatched = 2;
// Tokens of the longest sequence in a quick run.
constexpr double kQuick = 1;

/** The worst of all comparisons of a kind, in parts of what is allowed. */
class Findings {
 public:
  void add(const std::string& kind, const std::string& where, const std::vector<double>& expected, const Floats& found, double allowed) {
    Kind& worst = of(kind);
    double error = expected.size() == found.size() && !expected.empty() ? 0 : INFINITY;
    for (size_t i = 0; i < found.size() && error < INFINITY; ++i) {
      const double distance = std::fabs(found[i] - expected[i]) / allowed;
      error = distance <= error ? error : std::isnan(distance) ? INFINITY : distance;
    }
    ++worst.comparisons;
    if (error < worst.error) return;
    worst.error = error;
    worst.where = where;
  }
  void equal(const std::string& kind, const std::string& where, const Ids& expected, const Ids& found) {
    add(kind, where, {0}, {expected == found ? 0.0f : INFINITY}, 1);
  }

  int report(const std::string& name) const {
    int failed = 0;
    for (const Kind& one : kinds_) {
      const bool ok = one.error <= 1;
      failed += !ok;
      std::printf("%s golden %s: %s # %.3f of the allowed error in %d, worst %s\n", ok ? "ok" : "not ok", name.c_str(), one.name.c_str(), one.error,
                  one.comparisons, one.where.c_str());
    }
    return failed;
  }

 private:
  struct Kind {
    std::string name, where;
    double error = 0;
    int comparisons = 0;
  };
  Kind& of(const std::string& name) {
    for (Kind& one : kinds_)
      if (one.name == name) return one;
    kinds_.push_back({name, "", 0, 0});
    return kinds_.back();
  }
  std::vector<Kind> kinds_;
};

/** A state of the model, from nothing. */
class Reading {
 public:
  explicit Reading(Model& model) : model_(model), slot_(model.states().acquire()) { model.states().clear(slot_); }
  ~Reading() { model_.states().release(slot_); }
  Reading(const Reading&) = delete;

  /** For the next step of several. */
  StepItem item(Ids tokens, Want want, float* out) const {
    StepItem item{};
    item.slot = slot_;
    item.tokens = std::move(tokens);
    item.want = want;
    item.out = out;
    item.sampling.top_p = item.sampling.repetition_penalty = 1;
    return item;
  }
  void skip(const Ids& tokens) { run(item(tokens, Want::nothing, nullptr)); }
  Floats all_logits(const Ids& tokens) { return filled(tokens, Want::all_logits, tokens.size() * vocab()); }
  Floats last_logits(const Ids& tokens) { return filled(tokens, Want::last_logits, vocab()); }
  /** One a token; that of `targets[i]` after token i, -1 = none. */
  Floats logprobs(const Ids& tokens, Ids targets) {
    Floats out(tokens.size());
    StepItem one = item(tokens, Want::logprobs, out.data());
    one.targets = std::move(targets);
    run(std::move(one));
    return out;
  }
  std::pair<int32_t, float> greedy(const Ids& tokens) {
    const StepItem done = run(item(tokens, Want::sample, nullptr));
    return {done.sampled, done.logprob};
  }
  void restore(const std::vector<double>& conv, const std::vector<double>& ssm) {
    const Floats c(conv.begin(), conv.end()), s(ssm.begin(), ssm.end());
    model_.states().restore(slot_, c.data(), s.data());
  }
  std::pair<Floats, Floats> state() {
    const ModelConfig& c = model_.config();
    std::pair<Floats, Floats> out(size_t(c.n_layer) * c.d_inner * (c.d_conv - 1), size_t(c.n_layer) * c.d_inner * c.d_state);
    model_.states().snapshot(slot_, out.first.data(), out.second.data());
    return out;
  }

 private:
  size_t vocab() const { return size_t(model_.config().vocab_size); }
  Floats filled(const Ids& tokens, Want want, size_t floats) {
    Floats out(floats);
    run(item(tokens, want, out.data()));
    return out;
  }
  StepItem run(StepItem item) {
    std::vector<StepItem> items;
    items.push_back(std::move(item));
    model_.step(items);
    if (items[0].failure) std::rethrow_exception(items[0].failure);
    return std::move(items[0]);
  }

  Model& model_;
  const int slot_;
};

Ids part(const Ids& ids, size_t from, size_t to) { return {ids.begin() + long(from), ids.begin() + long(to)}; }

class GoldenCheck {
 public:
  GoldenCheck(const GoldenFolder& folder, Model& model) : folder_(folder), model_(model), allowed_(folder.tolerances()), vocab_(size_t(model.config().vocab_size)) {
    for (double* const tolerance : {&allowed_.logits, &allowed_.logprob, &allowed_.conv, &allowed_.ssm}) *tolerance *= kDevice;
  }

  /** Of the sequences of at most `longest` tokens. */
  void everything(double longest) {
    const Json& lengths = folder_.manifest().at("sequences");
    const auto wanted = [&](const std::string& name) { return lengths.at(name).number <= longest; };
    for (const auto& [name, length] : lengths.members)
      if (wanted(name)) sequence(name);
    for (const auto& [name, row] : folder_.manifest().at("greedy").members)
      if (wanted(name)) greedy(name);
    const std::vector<Json>& scores = folder_.manifest().at("score").items;
    for (size_t i = 0; i < scores.size(); ++i)
      if (scores[i].at("context_len").number <= 4 * longest) score(i, scores[i]);
    for (const std::string& tensor : folder_.names()) {
      // mid.NAME.TOKENS.conv_state.f64
      const size_t end = tensor.find(".conv_state.f64");
      if (tensor.rfind("mid.", 0) != 0 || end == std::string::npos) continue;
      const size_t dot = tensor.rfind('.', end - 1);
      const std::string name = tensor.substr(4, dot - 4);
      if (wanted(name)) middle(name, size_t(std::stoul(tensor.substr(dot + 1, end - dot - 1))));
    }
    for (const auto& [key, row] : folder_.manifest().at("max_abs_differences").at("chunked_vs_whole").members) {
      // "NAME first TOKENS"
      const size_t space = key.find(" first ");
      if (space != std::string::npos && wanted(key.substr(0, space))) chunked(key.substr(0, space), size_t(std::stoul(key.substr(space + 7))));
    }
    batch("batch");
    batch("padded");
  }

  /** Logits alone, against what the reference's own run in 16 bits was off by. */
  void rounded(const Json& off) {
    double most = 0;
    for (const auto& [name, distance] : off.members) most = std::max(most, distance.number);
    for (const auto& [name, distance] : off.members) logits(name, kMatched * most);
  }

  int report(const std::string& name) const { return findings_.report(name); }

 private:
  Ids ids(const std::string& name) const { return folder_.ids(name + ".input_ids"); }
  std::vector<double> last_row(const std::string& name) const {
    const std::vector<double> all = folder_.values(name + ".logits.f64");
    return {all.end() - long(vocab_), all.end()};
  }
  Floats rows(const Floats& logits, const Ids& positions, int before) const {
    Floats out;
    for (const int32_t at : positions)
      if (at >= before) out.insert(out.end(), logits.begin() + long(size_t(at - before) * vocab_), logits.begin() + long(size_t(at - before + 1) * vocab_));
    return out;
  }
  void state(Reading& reading, const std::string& name, const std::string& kind, const std::string& where) {
    if (!folder_.has(name + ".conv_state.f64")) return;
    const auto [conv, ssm] = reading.state();
    findings_.add(kind + "conv state", where, folder_.conv_state(name), conv, allowed_.conv);
    findings_.add(kind + "ssm state", where, folder_.ssm_state(name), ssm, allowed_.ssm);
  }

  void logits(const std::string& name, double allowed) {
    Reading reading(model_);
    const Floats found = reading.all_logits(ids(name));
    findings_.add("logits", name, folder_.values(name + ".logits.f64"), rows(found, folder_.ids(name + ".positions"), 0), allowed);
    if (allowed == allowed_.logits) state(reading, name, "", name);
  }

  void sequence(const std::string& name) {
    logits(name, allowed_.logits);
    if (!folder_.has(name + ".logprobs.f64")) return;
    const Ids tokens = ids(name);
    Ids targets = part(tokens, 1, tokens.size());
    targets.push_back(-1);
    Floats found = Reading(model_).logprobs(tokens, targets);
    found.pop_back();
    findings_.add("logprobs", name, folder_.values(name + ".logprobs.f64"), found, allowed_.logprob);
  }

  void greedy(const std::string& name) {
    const Ids expected = folder_.ids("greedy." + name + ".tokens");
    Reading reading(model_);
    Ids next = ids(name), found;
    Floats logprobs;
    for (size_t i = 0; i < expected.size(); ++i) {
      const auto [token, logprob] = reading.greedy(next);
      found.push_back(token);
      logprobs.push_back(logprob);
      next = {token};
    }
    findings_.equal("greedy tokens", name, expected, found);
    findings_.add("greedy logprobs", name, folder_.values("greedy." + name + ".logprobs.f64"), logprobs, allowed_.logprob);
  }

  void score(size_t i, const Json& row) {
    const std::string name = "score." + std::to_string(i);
    const Ids context = folder_.ids(name + ".context"), continuation = folder_.ids(name + ".continuation");
    Ids tokens = context;
    tokens.insert(tokens.end(), continuation.begin(), continuation.end());
    Ids targets(tokens.size(), -1);
    const size_t first = context.size() - 1;
    std::copy(continuation.begin(), continuation.end(), targets.begin() + long(first));
    const Floats all = Reading(model_).logprobs(tokens, targets);
    const Floats found(all.begin() + long(first), all.end() - 1);
    findings_.add("score logprobs", name, folder_.values(name + ".logprobs.f64"), found, allowed_.logprob);
    const Floats logits = Reading(model_).all_logits(tokens);
    int32_t greedily = 1;
    for (size_t at = 0; at < continuation.size(); ++at) {
      const auto begin = logits.begin() + long((first + at) * vocab_);
      greedily &= std::max_element(begin, begin + long(vocab_)) - begin == continuation[at];
    }
    findings_.equal("score is_greedy", name, {int32_t(row.at("is_greedy_f64").number)}, {greedily});
  }

  /** Its state there, and what a session restored from the reference's reads on to. */
  void middle(const std::string& name, size_t fed) {
    const Ids tokens = ids(name);
    const std::string prefix = "mid." + name + "." + std::to_string(fed), where = name + " at " + std::to_string(fed);
    Reading reading(model_);
    reading.skip(part(tokens, 0, fed));
    state(reading, prefix, "mid ", where);
    Reading restored(model_);
    restored.restore(folder_.conv_state(prefix), folder_.ssm_state(prefix));
    const Floats found = restored.all_logits(part(tokens, fed, tokens.size()));
    const Ids positions = folder_.ids(name + ".positions");
    const size_t earlier = size_t(std::count_if(positions.begin(), positions.end(), [&](int32_t at) { return at < int32_t(fed); }));
    std::vector<double> expected = folder_.values(name + ".logits.f64");
    expected.erase(expected.begin(), expected.begin() + long(earlier * vocab_));
    findings_.add("continuation logits", where, expected, rows(found, positions, int(fed)), allowed_.logits);
    state(restored, name, "continuation ", where);
  }

  /** A prefix at once, then one token a step. */
  void chunked(const std::string& name, size_t first) {
    const Ids tokens = ids(name);
    const std::string own = "chunk." + name + "." + std::to_string(first) + ".logits_last.f64", where = name + ", first " + std::to_string(first);
    Reading reading(model_);
    Floats found;
    for (size_t at = 0, to = first; at < tokens.size(); at = to, to = at + 1) {
      if (to < tokens.size())
        reading.skip(part(tokens, at, to));
      else
        found = reading.last_logits(part(tokens, at, to));
    }
    findings_.add("chunk logits", where, folder_.has(own) ? folder_.values(own) : last_row(name), found, allowed_.logits);
    state(reading, name, "chunk ", where);
  }

  /** Several sequences in one step; a padded batch as a ragged one. */
  void batch(const std::string& kind) {
    if (!folder_.has(kind + ".input_ids")) return;
    const Ids all = ids(kind);
    const size_t width = size_t(folder_.shape(kind + ".input_ids").at(1)), sequences = all.size() / width;
    const Ids mask = folder_.has(kind + ".attention_mask") ? folder_.ids(kind + ".attention_mask") : Ids(all.size(), 1);
    std::vector<std::unique_ptr<Reading>> readings;
    std::vector<StepItem> items;
    Floats found(sequences * vocab_);
    for (size_t i = 0; i < sequences; ++i) {
      Ids tokens;
      for (size_t at = i * width; at < (i + 1) * width; ++at)
        if (mask[at]) tokens.push_back(all[at]);
      readings.push_back(std::make_unique<Reading>(model_));
      items.push_back(readings.back()->item(tokens, Want::last_logits, &found[i * vocab_]));
    }
    model_.step(items);
    findings_.add(kind + " logits", "the rows together", folder_.values(kind + ".logits_last.f64"), found, allowed_.logits);
  }

  const GoldenFolder& folder_;
  Model& model_;
  GoldenFolder::Tolerances allowed_;
  const size_t vocab_;
  Findings findings_;
};

}  // namespace

int check_goldens(const CudaOptions& options, const std::string& path, bool quick) {
  const std::vector<std::string> folders = golden_folders(path);
  if (folders.empty()) {
    std::printf("not ok goldens # none in %s\n", path.c_str());
    return 1;
  }
  int failed = 0;
  for (const std::string& dir : folders) {
    const GoldenFolder folder(dir);
    const std::string name = dir.substr(dir.rfind('/') + 1);
    CudaOptions own = options;
    own.activations = Activations::f32;
    {
      Model model(folder.checkpoint(), Quantize::none, create_cuda_backend(own));
      GoldenCheck check(folder, model);
      check.everything(quick ? kQuick : INFINITY);
      failed += check.report(name + ", f32");
    }
    const Json* const rounded = folder.manifest().at("max_abs_differences").find("native_vs_f64");
    if (quick || !rounded || rounded->kind != Json::Kind::object) continue;
    own.activations = Activations::matched;
    Model model(folder.checkpoint(), Quantize::none, create_cuda_backend(own));
    GoldenCheck check(folder, model);
    check.rounded(*rounded);
    failed += check.report(name + ", matched");
  }
  return failed;
}

}  // namespace longhaul
