// gpu_inspect: the kernels on the host emulator under the inspector (backend/cuda/inspector), and what they ask of memory.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>

#include "backend/cuda/inspector/inspector.h"
#include "engine/model.h"
#include "engine/sampler.h"
#include "gpu/checks.h"
#include "gpu/synthetic.h"
#include "test/inspector_faults.h"
#include "test/op_cases.h"

namespace {

using namespace longhaul;
namespace inspector = cuda::inspector;

constexpr const char* kUsage = R"(usage: gpu_inspect [--quick] [--only TEXT] [--table] [--json] [--places] | --faults

Runs the CUDA kernels on the host emulator and reports accesses out of bounds or misaligned, reads of what nobody wrote,
races within and between blocks, and threads at different barriers. Exit code 1 where something is found.

  (nothing)    every op case, FalconMamba-7B's widths with few rows, sampling, and small models from end to end
  --quick      one op case in sixteen, the widths, and no models
  --only TEXT  op cases whose names hold TEXT, and nothing else
  --faults     kernels with a planted fault each: what was found of it
  --table      bytes, sectors and banks of each kernel of a layer of FalconMamba-7B, reading and decoding (minutes); with
               --quick or --only of those cases
  --json       the table as JSON
  --places     beside each kernel's row those of its places in the source

Example: gpu_inspect --table
)";

/** Prints what was found, and how much that is. */
int report(std::FILE* to) {
  const auto found = inspector::findings();
  for (const auto& f : found)
    std::fprintf(to, "%s %s: %s\n  at %s, %llu times; first in %s\n", f.rule.c_str(), f.kernel.c_str(), f.what.c_str(), f.where.c_str(), (unsigned long long)f.times,
                f.under.c_str());
  std::fprintf(to, "%zu findings\n", found.size());
  return found.empty() ? 0 : 1;
}

double share(uint64_t bytes, uint64_t sectors) { return sectors ? 100.0 * double(bytes) / double(32 * sectors) : 100.0; }
double passes(const inspector::Traffic& t) { return t.least_passes ? double(t.passes) / double(t.least_passes) : 0; }

int check_faults() {
  int failed = 0;
  for (const PlantedFault& fault : planted_faults()) {
    inspector::forget();
    inspector::set_label(fault.name);
    inspector::count_traffic(fault.rule == "table");
    fault.run();
    const auto found = inspector::findings();
    std::string what;
    bool ok = false;
    if (fault.rule == "table") {
      const inspector::Traffic all = inspector::traffic(false)[0].all;
      char text[64];
      std::snprintf(text, sizeof text, "%d passes, %.0f %% of sectors", all.worst, share(all.load_bytes, all.load_sectors));
      what = text;
      ok = found.empty() && what.find(fault.what) != std::string::npos;
    } else {
      ok = fault.rule.empty() && found.empty();
      for (const auto& f : found) {
        what += f.rule + " " + f.what + " at " + f.where + "; ";
        ok |= f.rule == fault.rule && f.what.compare(0, fault.what.size(), fault.what) == 0 && f.where.find("inspector_faults.cpp:") != std::string::npos;
      }
    }
    std::printf("%s %s # %s\n", ok ? "ok" : "not ok", fault.name.c_str(), what.c_str());
    failed += !ok;
  }
  inspector::forget();
  return failed;
}

void run_case(const op_cases::Case& c, CudaOptions options, Activations activations) {
  inspector::set_label(c.name + (activations == Activations::f32 ? ", f32" : ", bf16"));
  options.activations = activations;
  c.run(*create_cuda_backend(options));
}

/** With the engine's own kernel for large products, as where cuBLASLt is not found. */
template <class Run>
void without_library(const Run& run) {
  setenv("LONGHAUL_CUBLASLT", "none", 1);
  run();
  unsetenv("LONGHAUL_CUBLASLT");
}

/** FalconMamba-7B's widths, but for rows of a weight, of which there are few. */
std::vector<op_cases::Case> wide_cases() {
  std::vector<op_cases::Case> all;
  for (const Dtype dtype : {Dtype::bf16, Dtype::int8, Dtype::code4, Dtype::fp8})
    for (const int rows : {1, 8}) {
      all.push_back(op_cases::in_proj_conv_case(rows, 4096, 64, 4, dtype, true));
      all.push_back(op_cases::linear_case({rows, 8192, 96, false, true}, dtype, Activations::matched));
      all.push_back(op_cases::dt_proj_scan_case(rows, 256, 128, 16, dtype, true, true));
    }
  all.push_back(op_cases::norm_case(1, 4096, true, 1e-5f));
  all.push_back(op_cases::log_probs_case(1, 8000));
  return all;
}

void run_cases(const CudaOptions& options, int every, const std::string& only) {
  int number = 0;
  const auto run = [&](const op_cases::Case& c) {
    if (c.name.find(only) == std::string::npos || (only.empty() && number++ % every)) return;
    run_case(c, options, c.activations);
    if (c.name.find("reading") != std::string::npos) without_library([&] { run_case(c, options, c.activations); });
    if (c.activations == Activations::f32 && c.bf16_relative > 0) run_case(c, options, Activations::matched);
  };
  for (const op_cases::Case& c : op_cases::cases()) run(c);
  for (const op_cases::Case& c : wide_cases())
    if (c.name.find(only) != std::string::npos) run_case(c, options, Activations::matched);
}

/** Steps of a model on the emulator. */
class Walker {
 public:
  Walker(const std::string& name, const SyntheticModel& synthetic, Quantize quantize, const CudaOptions& options)
      : name_(name), model_(synthetic.checkpoint(), quantize, create_cuda_backend(options)), config_(model_.config()) {
    for (int i = 0; i < options.slots; ++i) {
      slots_.push_back(model_.states().acquire());
      model_.states().clear(slots_.back());
    }
  }

  /** The first `sequences` slots take a step of `tokens` each. */
  void step(int sequences, int tokens, Want want) {
    std::vector<StepItem> items(sequences);
    op_cases::Floats out(size_t(sequences) * tokens * config_.vocab_size), logprobs(size_t(sequences) * tokens * kTop);
    std::vector<int32_t> ids(logprobs.size());
    for (int i = 0; i < sequences; ++i) {
      StepItem& item = items[i];
      item.slot = slots_[i];
      item.want = want;
      for (int t = 0; t < tokens; ++t) item.tokens.push_back(int32_t((next_ = next_ * 1664525u + 1013904223u) >> 8) % config_.vocab_size);
      item.out = out.data() + size_t(i) * tokens * config_.vocab_size;
      item.targets.assign(tokens, 3);
      item.top = want == Want::sample || want == Want::logprobs ? kTop : 0;
      item.top_ids = ids.data() + size_t(i) * tokens * kTop;
      item.top_logprobs = logprobs.data() + size_t(i) * tokens * kTop;
      item.sampling.temperature = i % 2 ? 0.0f : 0.8f;
      item.sampling.top_p = 0.95f;
      item.sampling.repetition_penalty = 1.1f;
      item.sampling.penalized = {1, 5, 9};
      item.sampling.bias_ids = {5, 20};
      item.sampling.biases = {1.0f, -2.0f};
      item.sampling.seed = 7;
    }
    inspector::set_label(name_ + (tokens == 1 ? ", decode " + std::to_string(sequences) : ", read " + std::to_string(sequences) + " x " + std::to_string(tokens)));
    model_.step(items);
  }

  /** Every kind of step, and states that are copied, saved and restored between them. */
  void walk() {
    step(1, 70, Want::nothing);
    step(3, 9, Want::all_logits);
    step(2, 40, Want::logprobs);
    for (const int sequences : {1, 2, 3, 6}) step(sequences, 1, Want::sample);
    op_cases::Floats conv(size_t(config_.n_layer) * config_.d_inner * (config_.d_conv - 1)), ssm(size_t(config_.n_layer) * config_.d_inner * config_.d_state);
    model_.transfer().snapshot(slots_[0], conv.data(), ssm.data(), [](std::exception_ptr) {});
    model_.transfer().drain();
    model_.states().copy(slots_[0], slots_[1]);
    model_.release(slots_[2]);
    slots_[2] = model_.states().acquire();
    model_.transfer().restore(slots_[2], conv.data(), ssm.data(), [](std::exception_ptr) {});
    model_.transfer().drain();
    step(5, 1, Want::last_logits);
    step(3, 1, Want::logprobs);
  }

 private:
  static constexpr int kTop = 5;
  const std::string name_;
  Model model_;
  const ModelConfig config_;
  std::vector<int> slots_;
  uint32_t next_ = 1;
};

struct Format {
  const char* name;
  Stored stored;
  Quantize quantize;
};
constexpr Format kFormats[] = {{"bf16", Stored::bf16, Quantize::none}, {"int8", Stored::int8, Quantize::none}, {"nf4", Stored::nf4, Quantize::none},
                               {"fp8", Stored::bf16, Quantize::fp8}};

void walk_models(CudaOptions options) {
  for (const auto& [name, stored, quantize] : kFormats)
    for (const Activations activations : {Activations::matched, Activations::f32}) {
      options.activations = activations;
      const SyntheticModel synthetic(small_model(), stored);
      const auto walk = [&, name = name, quantize = quantize] {
        Walker(std::string(name) + (activations == Activations::f32 ? ", f32" : ""), synthetic, quantize, options).walk();
      };
      walk();
      if (activations == Activations::matched) without_library(walk);
    }
}

/** A layer of FalconMamba-7B, a sixteenth of its vocabulary, and draws from all of it. */
void count_large(CudaOptions options) {
  ModelConfig config = falcon_mamba_7b();
  config.n_layer = 1;
  config.vocab_size /= 16;
  options.slots = 8;
  for (const auto& [name, stored, quantize] : kFormats) {
    inspector::count_traffic(false);
    const SyntheticModel synthetic(config, stored);
    Walker walker(name, synthetic, quantize, options);
    inspector::count_traffic(true);
    const bool plain = stored == Stored::bf16 && quantize == Quantize::none;
    walker.step(1, 1, Want::last_logits);
    if (plain) walker.step(8, 1, Want::last_logits);
    walker.step(1, plain ? 64 : 4, Want::nothing);
  }
  without_library([&] {
    run_case(op_cases::linear_case({64, 4096, 512, false, false, true}, Dtype::bf16, Activations::matched), options, Activations::matched);
  });
  const auto backend = create_cuda_backend(options);
  const int vocab = falcon_mamba_7b().vocab_size;
  const op_cases::Device logits(*backend, op_cases::random_floats(vocab, 1, 12.0f));
  inspector::set_label("a row of " + std::to_string(vocab) + " logits");
  Sampling sampling{};
  sampling.temperature = 0.8f;
  sampling.top_p = 0.95f;
  sampling.repetition_penalty = 1;
  std::vector<Shortlist> wanted = {Sampler::shortlist(0, vocab, sampling)};
  backend->shortlist({logits.data, vocab}, vocab, wanted);
  op_cases::Scores scores(1, vocab);
  float logprob = 0;
  scores.wanted[0].target = 7;
  scores.wanted[0].top = 5;
  scores.wanted[0].logprob = &logprob;
  backend->log_probs({logits.data, vocab}, vocab, scores.wanted.data(), 1);
}

void print_row(const std::string& name, const std::string& shape, const inspector::Traffic& t) {
  const auto kib = [](uint64_t bytes) { return double(bytes) / 1024; };
  std::printf("| %s | %s | %.1f | %.0f %% | %.1f | %.1f | %.0f %% | %.1f | %llu | %.2f | %d |\n", name.c_str(), shape.c_str(), kib(t.load_bytes),
              share(t.load_bytes, t.load_sectors), kib(t.read_once), kib(t.store_bytes), share(t.store_bytes, t.store_sectors), kib(t.written_once),
              (unsigned long long)t.shared, passes(t), t.worst);
}

void print_table(bool with_places) {
  std::string under;
  for (const auto& row : inspector::traffic(with_places)) {
    if (row.under != under)
      std::printf("%s**%s**\n\n| kernel | blocks x threads | KiB read | of the sectors | distinct | KiB written | of the sectors | distinct | shared accesses | passes | worst |\n"
                  "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n", under.empty() ? "" : "\n", row.under.c_str());
    under = row.under;
    const std::string times = row.launches > 1 ? ", " + std::to_string(row.launches) + " launches" : "";
    print_row(row.kernel + times, std::to_string(row.grid_x * row.grid_y) + " x " + std::to_string(row.threads), row.all);
    for (const auto& place : row.places) print_row(place.where, "", place.traffic);
  }
}

void print_json() {
  std::printf("[");
  const char* comma = "";
  for (const auto& row : inspector::traffic(false)) {
    const inspector::Traffic& t = row.all;
    const auto number = [](const char* name, uint64_t value) { std::printf(", \"%s\": %llu", name, (unsigned long long)value); };
    std::printf("%s\n  {\"under\": \"%s\", \"kernel\": \"%s\"", comma, row.under.c_str(), row.kernel.c_str());
    number("blocks", uint64_t(row.grid_x) * row.grid_y), number("threads", row.threads), number("sharedBytes", row.shared_bytes), number("launches", row.launches);
    number("loadBytes", t.load_bytes), number("loadSectors", t.load_sectors), number("readOnce", t.read_once);
    number("storeBytes", t.store_bytes), number("storeSectors", t.store_sectors), number("writtenOnce", t.written_once);
    number("streamedBytes", t.streamed_bytes), number("streamedSectors", t.streamed_sectors);
    number("sharedAccesses", t.shared), number("passes", t.passes), number("leastPasses", t.least_passes), number("worst", t.worst);
    std::printf("}");
    comma = ",";
  }
  std::printf("\n]\n");
}

int run(int argc, char** argv) {
  bool quick = false, faults = false, table = false, json = false, places = false;
  std::string only;
  for (int i = 1; i < argc; ++i) {
    const auto is = [&](const char* name) { return std::strcmp(argv[i], name) == 0; };
    if (is("--quick"))
      quick = true;
    else if (is("--faults"))
      faults = true;
    else if (is("--table"))
      table = true;
    else if (is("--json"))
      table = json = true;
    else if (is("--places"))
      places = true;
    else if (is("--only"))
      only = i + 1 < argc ? argv[++i] : "";
    else {
      std::fputs(kUsage, stderr);
      return is("--help") ? 0 : 64;
    }
  }
  CudaOptions options;
  options.block_rows = 256;
  options.decode_rows = 8;
  options.slots = 8;
  if (faults) return check_faults() > 0;
  if (table && only.empty() && !quick) {
    count_large(options);
  } else {
    inspector::count_traffic(table);
    run_cases(options, quick ? 16 : 1, only);
    if (only.empty() && !quick) {
      walk_models(options);
      inspector::set_label("sampling");
      if (check_sampling(options)) return 1;
    }
  }
  if (json)
    print_json();
  else if (table)
    print_table(places);
  return report(json ? stderr : stdout);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "gpu_inspect: %s\n", e.what());
    return 1;
  }
}
