#include "gpu/timings.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>

#include "backend/cuda/runtime.h"
#include "engine/error.h"
#include "engine/model.h"
#include "gpu/deadline.h"
#include "gpu/report.h"
#include "gpu/synthetic.h"

namespace longhaul {
namespace {

bool left_out(const Deadline& deadline, const std::string& what) {
  if (!deadline.passed()) return false;
  say("| %s | not measured: no time left | | |\n", what.c_str());
  return true;
}

/** How often things are done, and how long a document is read. */
struct Lengths {
  std::vector<int> together, few_together;  // sequences that decode; of the first format, and of the others
  int decode_steps, sampled_steps, pairs;
  int chunks, few_chunks, long_chunks, chunks_before_decode;
};
const Lengths kWhole = {{1, 2, 4, 8, 16, 32, 64}, {1, 8, 64}, 30, 10, 10, 100, 10, 512, 64};
const Lengths kSmall = {{1}, {1}, 1, 1, 1, 3, 1, 6, 1};

/** Weights of the projections. */
double projections(const ModelConfig& c) {
  return double(c.n_layer) * c.d_inner * (3.0 * c.d_model + 2.0 * c.dt_rank + 2.0 * c.d_state);
}

/** A model of the 7B shape on the device, with sessions. */
class Bench {
 public:
  Bench(const ModelConfig& config, Stored stored, Quantize quantize, const CudaOptions& options) : vocab_(config.vocab_size) {
    free_before_ = cuda::device_facts(options.device).free_bytes;
    const SyntheticModel synthetic(config, stored);
    const auto began = Clock::now();
    model_ = std::make_unique<Model>(synthetic.checkpoint(), quantize, create_cuda_backend(options));
    load_seconds = seconds_since(began);
    taken_at_load = model_->backend().allocations();
    for (const TensorSource& t : synthetic.checkpoint().tensors) stored_bytes += double(t.bytes);
    read_rate = file_rate(synthetic.checkpoint().files[0]);
    device_bytes = in_use(options.device);
  }

  int open() {
    const int slot = model_->states().acquire();
    model_->states().clear(slot);
    return slot;
  }
  void close(int slot) { model_->states().release(slot); }
  /** Bytes of the device that were free before this model and are not now. */
  double in_use(int device) const { return double(free_before_) - double(cuda::device_facts(device).free_bytes); }
  Model& model() { return *model_; }

  /** Seconds of one step in which each of `slots` reads `tokens`. */
  double step(const std::vector<int>& slots, int tokens, bool sample) {
    std::vector<StepItem> items(slots.size());
    for (size_t i = 0; i < items.size(); ++i) {
      items[i].slot = slots[i];
      items[i].want = sample ? Want::sample : Want::nothing;
      for (int t = 0; t < tokens; ++t) items[i].tokens.push_back(int32_t((next_ = next_ * 1664525u + 1013904223u) >> 8) % vocab_);
      items[i].sampling.temperature = 0;
    }
    const auto began = Clock::now();
    model_->step(items);
    return seconds_since(began);
  }

  /** Median seconds of `count` steps after a few. */
  double steps(const std::vector<int>& slots, int tokens, int count, bool sample) {
    std::vector<double> all;
    for (int i = 0; i < count + 3; ++i) {
      const double took = step(slots, tokens, sample);
      if (i >= 3) all.push_back(took);
    }
    return median(all);
  }

  size_t taken_at_load = 0;
  double load_seconds = 0, stored_bytes = 0, read_rate = 0, device_bytes = 0;

 private:
  /** Bytes a second of reading a file once more, four threads at it. */
  static double file_rate(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDONLY);
    const off_t size = fd < 0 ? 0 : ::lseek(fd, 0, SEEK_END);
    const auto began = Clock::now();
    std::vector<std::thread> readers;
    for (int i = 0; i < 4; ++i)
      readers.emplace_back([=] {
        std::vector<char> piece(4 << 20);
        for (off_t at = off_t(i) * off_t(piece.size()); at < size; at += 4 * off_t(piece.size()))
          if (::pread(fd, piece.data(), piece.size(), at) < 0) return;
      });
    for (std::thread& reader : readers) reader.join();
    if (fd >= 0) ::close(fd);
    return double(size) / seconds_since(began);
  }

  const int vocab_;
  size_t free_before_ = 0;
  std::unique_ptr<Model> model_;
  uint32_t next_ = 1;
};

/** What the tables are held against, and what they fell short of. */
class Targets {
 public:
  explicit Targets(const std::vector<ProfileTable>& profile) : profile_(profile) {}

  /** `table`: of the profile, the one whose kernels took the time. */
  void judge(bool met, const std::string& what, const std::string& table = "") {
    if (!met) missed_.push_back({what, table});
  }
  const ProfileTable* find(const std::string& table) const {
    for (const ProfileTable& t : profile_)
      if (t.name == table) return &t;
    return nullptr;
  }
  /**
   * A row that holds `seconds` against the sum of the kernels by themselves, where all of them were measured: what is more is gaps
   * between launches and the host; where launches overlap it may be less.
   */
  void compare(const char* what, double seconds, const std::string& table) const {
    const ProfileTable* const t = find(table);
    const double ms = t ? t->milliseconds() : 0;
    if (ms > 0) say("| ... a %s takes %.3f ms, its kernels one by one %.3f ms | | %+.1f %% | |\n", what, 1e3 * seconds, ms, 100 * (1e3 * seconds / ms - 1));
  }

  void print() const {
    say("\n| target missed | its kernels that take most, ms of the sum |\n|---|---|\n");
    for (const auto& [what, table] : missed_) say("| %s | %s |\n", what.c_str(), largest(table).c_str());
    if (missed_.empty()) say("| none | |\n");
  }

 private:
  std::string largest(const std::string& table) const {
    const ProfileTable* const t = find(table);
    if (!t) return "";
    std::vector<ProfileRow> rows = t->rows;
    const auto ms = [](const ProfileRow& row) { return row.microseconds * row.times / 1e3; };
    std::stable_sort(rows.begin(), rows.end(), [&](const ProfileRow& a, const ProfileRow& b) { return ms(a) > ms(b); });
    std::string out;
    for (size_t i = 0; i < std::min<size_t>(3, rows.size()) && rows[i].microseconds > 0; ++i) {
      char text[160];
      std::snprintf(text, sizeof text, "%s%s %.2f (at %.0f %% of its floor: %s)", out.empty() ? "" : "; ", rows[i].name.c_str(), ms(rows[i]),
                    100 * rows[i].floor / rows[i].microseconds, rows[i].bound.c_str());
      out += text;
    }
    return out;
  }

  const std::vector<ProfileTable>& profile_;
  std::vector<std::pair<std::string, std::string>> missed_;
};

/** Everything that the rows of a format need. */
struct Run {
  const CudaOptions& options;
  const Ceilings& ceilings;
  Targets& targets;
  const Deadline& deadline;
  const ProfileShape& shape;
  const Lengths& lengths;
};

/** A target of the form "≥ N %" is held against `share`. */
void row(Run& run, const std::string& what, double tokens_per_second, double share, const std::string& target, const std::string& table = "") {
  say("| %s | %.0f | %s | %s |\n", what.c_str(), tokens_per_second, share > 0 ? (std::to_string(int(100 * share + 0.5)) + " %").c_str() : "", target.c_str());
  const std::string sign = "≥ ";
  const double least = target.rfind(sign, 0) == 0 ? std::atof(target.c_str() + sign.size()) : 0;
  if (least > 0 && share > 0) run.targets.judge(100 * share >= least, what + ": " + std::to_string(int(100 * share + 0.5)) + " %, " + target, table);
}

double head_bytes(const ModelConfig& c) { return 2.0 * c.vocab_size * c.d_model; }
/** Weights that a decode step reads, lm_head in bf16 with them. */
double weight_bytes(const ModelConfig& c, Stored stored) {
  return head_bytes(c) + projections(c) * (stored == Stored::bf16 ? 2.0 : stored == Stored::int8 ? 1.0 : 0.5 + 4.0 / kNf4Block);
}
/** Read and written of a sequence: states and columns, fp32. */
double state_traffic(const ModelConfig& c) { return 8.0 * c.n_layer * c.d_inner * (c.d_state + c.d_conv - 1); }

/** Reads one document on and on, and says what of the device's memory is taken at 4 k, 64 k, 200 k and 1 M tokens. */
class LongDocument {
 public:
  LongDocument(Bench& bench, const Run& run) : bench_(bench), device_(run.options.device), chunk_(run.shape.chunk), long_chunks_(run.lengths.long_chunks), slot_(bench.open()) {}
  ~LongDocument() { bench_.close(slot_); }
  int slot() const { return slot_; }
  int chunks() const { return read_; }

  double chunk() {
    const double took = bench_.step({slot_}, chunk_, false);
    ++read_;
    for (const int at : {2, 32, 100, 512})
      if (read_ == at)
        say("| device memory in use at %d k tokens | %.3f GB | | the same |\n", at * chunk_ / 1000, bench_.in_use(device_) / 1e9);
    return took;
  }
  /** To 1 M tokens, or as far as there is time: an engine that is slow leaves some to the formats that follow. */
  void finish(const Deadline& whole) {
    constexpr auto kMost = std::chrono::seconds(60);
    const Deadline deadline{std::min(whole.at, Clock::now() + kMost)};
    while (read_ < long_chunks_ && !deadline.passed()) chunk();
    if (read_ < long_chunks_) say("| device memory in use at 1048 k tokens | not measured: no time left at %d k tokens | | |\n", read_ * chunk_ / 1000);
    say("| allocations since the model was loaded | %zu | | 0 |\n", bench_.model().backend().allocations() - bench_.taken_at_load);
  }

 private:
  Bench& bench_;
  const int device_, chunk_, long_chunks_, slot_;
  int read_ = 0;
};

void prefill(Bench& bench, Run& run, const std::string& format, int chunks, bool whole) {
  const Deadline& deadline = run.deadline;
  const int chunk_rows = run.shape.chunk;
  const ModelConfig& config = run.shape.model;
  const std::string table = "reading, " + format + ", " + std::to_string(chunk_rows) + " rows";
  if (left_out(deadline, "prefill, one document")) return;
  LongDocument document(bench, run);
  const int slot = document.slot();
  document.chunk();
  document.chunk();
  std::vector<double> times;
  for (int i = 0; i < chunks && (i < 10 || !deadline.passed()); ++i) times.push_back(document.chunk());
  const double ceiling = run.ceilings.flops / (2 * projections(config));
  const auto rate = [&](double s) { return chunk_rows / s; };
  const auto share = [&](double r) { return ceiling > 0 ? r / ceiling : 0; };
  const double all = rate(median(times));
  row(run, "prefill, " + format + ", one document, " + std::to_string(document.chunks() * chunk_rows / 1000) + " k tokens", all, share(all), "≥ 80 % of the GEMM ceiling", table);
  run.targets.compare("chunk", median(times), table);
  const size_t tenth = std::max<size_t>(1, times.size() / 10);
  const double first = rate(median({times.begin(), times.begin() + tenth})), last = rate(median({times.end() - tenth, times.end()}));
  row(run, "... its first tenth", first, 0, "flat");
  row(run, "... its last tenth", last, 0, "flat");
  run.targets.judge(last >= 0.98 * first, "prefill, " + format + ": flat along a document", table);
  if (left_out(deadline, "prefill, 8 documents together, and a snapshot while prefilling")) return;
  std::vector<int> eight;
  for (int i = 0; i < 8; ++i) eight.push_back(bench.open());
  const double together = chunk_rows / bench.steps(eight, chunk_rows / 8, run.shape.small ? 1 : 8, false);
  row(run, "prefill, " + format + ", 8 documents together", together, share(together), "≥ one document's");
  run.targets.judge(together >= all, "prefill, " + format + ": 8 documents together as fast as one", table);
  for (const int s : eight) bench.close(s);

  // Snapshots of a state that is not in the step, one a chunk, taken between its layers.
  std::vector<float> conv(size_t(config.n_layer) * config.d_inner * (config.d_conv - 1)), ssm(size_t(config.n_layer) * config.d_inner * config.d_state);
  const int other = bench.open();
  bool due = false;
  bench.model().on_pause([&] {
    if (due) bench.model().transfer().snapshot(other, conv.data(), ssm.data(), [](std::exception_ptr) {});
    due = false;
  });
  std::vector<double> with, without;
  for (int i = 0; i < run.lengths.pairs; ++i) {
    without.push_back(bench.step({slot}, chunk_rows, false));
    due = true;
    with.push_back(bench.step({slot}, chunk_rows, false));
  }
  bench.model().on_pause([] {});
  bench.model().transfer().drain();
  const double cost = 100 * (median(with) / median(without) - 1) / 32;
  say("| snapshot while prefilling, one every 64 k tokens | %.3f %% | | ≤ 0.5 %% |\n", cost);
  run.targets.judge(cost <= 0.5, "a snapshot while prefilling");
  bench.close(other);
  if (whole) document.finish(deadline);
}

void decode(Bench& bench, Run& run, Stored stored, const std::string& format, const std::vector<int>& sizes, bool after_reading) {
  const Deadline& deadline = run.deadline;
  const Ceilings& ceilings = run.ceilings;
  const ModelConfig& config = run.shape.model;
  const char* const targets[] = {"≥ 85 %", "≥ 75 %", "≥ 65 %"};
  for (const int n : sizes) {
    const std::string table = "decode, " + format + ", " + std::to_string(n) + " together";
    if (left_out(deadline, table)) continue;
    std::vector<int> slots;
    for (int i = 0; i < n; ++i) slots.push_back(bench.open());
    const double once = bench.steps(slots, 1, run.lengths.decode_steps, false);
    const double sampled = bench.steps(slots, 1, run.lengths.sampled_steps, true);
    const double share = (weight_bytes(config, stored) - head_bytes(config) + n * state_traffic(config)) / once / ceilings.bytes_per_second;
    row(run, table + ", layers alone", n / once, share, n == 1 ? targets[int(stored)] : n == 64 ? "≥ 70 %" : "", table);
    row(run, "... with lm_head, log-probabilities and sampling", n / sampled,
        (weight_bytes(config, stored) + n * state_traffic(config)) / sampled / ceilings.bytes_per_second, "");
    run.targets.compare("step", sampled, table);
    for (const int slot : slots) bench.close(slot);
  }
  if (!after_reading || left_out(deadline, "decode after 131 k tokens against after 1")) return;
  const int fresh = bench.open(), read = bench.open();
  for (int i = 0; i < run.lengths.chunks_before_decode; ++i) bench.step({read}, run.shape.chunk, false);
  const double first = bench.steps({fresh}, 1, run.lengths.decode_steps, false), later = bench.steps({read}, 1, run.lengths.decode_steps, false);
  const double change = 100 * (later / first - 1);
  say("| decode after 131 k tokens against after 1 | %.1f %% | | ± 2 %% |\n", change);
  run.targets.judge(std::fabs(change) <= 2, "decode after 131 k tokens as fast as after 1");
}

void time_format(const std::string& name, Stored stored, Quantize quantize, Stored weighs, Run& run) {
  const std::string format = name.substr(0, name.find(','));
  Bench bench(run.shape.model, stored, quantize, run.options);
  say("| %s: loaded in %.1f s, device memory %.2f GB | | | |\n", name.c_str(), bench.load_seconds, bench.device_bytes / 1e9);
  const double slower = std::min(bench.read_rate, run.ceilings.to_device), rate = bench.stored_bytes / bench.load_seconds;
  say("| ... %.1f GB/s of stored weights; the file is read at %.1f GB/s | | %.0f %% of the slower | ≥ 80 %% |\n", rate / 1e9,
      bench.read_rate / 1e9, 100 * rate / slower);
  run.targets.judge(rate >= 0.8 * slower, "loading " + name);
  // The format that most people will serve is timed at length.
  const bool whole = quantize == Quantize::none && stored == Stored::bf16;
  decode(bench, run, weighs, format, whole ? run.lengths.together : run.lengths.few_together, whole);
  prefill(bench, run, format, whole ? run.lengths.chunks : run.lengths.few_chunks, whole);
}

/** One sequence's steps without decision 40: what the overlap of launches is worth. */
void decode_in_turn(const std::string& format, Stored stored, Run& run) {
  const std::string what = "decode, " + format + ", 1 together, launches one after the other";
  if (left_out(run.deadline, what)) return;
  CudaOptions options = run.options;
  options.overlap = false;
  const ModelConfig& config = run.shape.model;
  Bench bench(config, stored, Quantize::none, options);
  const int slot = bench.open();
  const double once = bench.steps({slot}, 1, run.lengths.decode_steps, false);
  bench.close(slot);
  row(run, what, 1 / once, (weight_bytes(config, stored) - head_bytes(config) + state_traffic(config)) / once / run.ceilings.bytes_per_second, "");
}

}  // namespace

void print_timings(const CudaOptions& options, const ProfileShape& shape, const Ceilings& ceilings, const std::vector<ProfileTable>& profile,
                   const Deadline& deadline) {
  Targets targets(profile);
  Run run{options, ceilings, targets, deadline, shape, shape.small ? kSmall : kWhole};
  say("\n| FalconMamba-7B shape, random weights | tokens/s | of the ceiling | target |\n|---|---:|---:|---|\n");
  struct Format {
    const char* name;
    Stored stored;
    Quantize quantize;
    Stored weighs;  // as its bytes are counted
  };
  for (const auto& [name, stored, quantize, weighs] : {Format{"bf16", Stored::bf16, Quantize::none, Stored::bf16},
                                                       {"int8", Stored::int8, Quantize::none, Stored::int8},
                                                       {"nf4", Stored::nf4, Quantize::none, Stored::nf4},
                                                       {"fp8, quantized at load", Stored::bf16, Quantize::fp8, Stored::int8}}) {
    if (left_out(deadline, name)) continue;
    try {
      time_format(name, stored, quantize, weighs, run);
      if (quantize == Quantize::none) decode_in_turn(name, stored, run);
    } catch (const EngineError& e) {
      // A device that is too small for one format may have room for the next.
      say("| %s | not measured: %s | | |\n", name, e.what());
    }
  }
  targets.print();
}

}  // namespace longhaul
