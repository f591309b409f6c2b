#include "gpu/profile.h"

#include <cstdio>
#include <functional>
#include <map>

#include "gpu/profile_kernels.h"
#include "gpu/report.h"
#include "gpu/synthetic.h"

namespace longhaul {
namespace {

using Measured = ProfileKernels::Measured;
using Projection = ProfileKernels::Projection;
using Candidate = cuda::Gemm::Candidate;

constexpr Projection kProjections[] = {Projection::in_proj, Projection::x_proj, Projection::dt_proj, Projection::out_proj};
/** What the special-function units of a multiprocessor do in a clock (CUDA's programming guide, from 5.0 on). */
constexpr double kSpecialPerClock = 16;

const char* name_of(Dtype dtype) { return dtype == Dtype::bf16 ? "bf16" : dtype == Dtype::int8 ? "int8" : dtype == Dtype::code4 ? "nf4" : "fp8"; }

/** Measures what a table asks for, each thing once, as long as there is time. */
class Profiler {
 public:
  Profiler(const CudaOptions& options, const ProfileShape& shape, const Ceilings& ceilings, const Deadline& deadline)
      : shape_(shape), ceilings_(ceilings), deadline_(deadline), kernels_(options, shape) {}

  std::vector<ProfileTable> run() {
    read();
    decode();
    beside();
    plans();
    return std::move(tables_);
  }

 private:
  using Measure = std::function<Measured()>;

  void begin(const std::string& name) { tables_.push_back({name, {}}); }

  /** `key` names the measurement: the same in another table is not made again. */
  void add(const std::string& name, int times, const std::string& key, const Measure& measure) {
    auto found = measured_.find(key);
    std::string why = "no time left";
    try {
      if (found == measured_.end() && !deadline_.passed()) found = measured_.emplace(key, measure()).first;
    } catch (const cuda::OutOfMemory& e) {
      why = e.what();
    }
    if (found == measured_.end()) return tables_.back().rows.push_back({name, "", times, 0, 0, "", why});
    const Measured& m = found->second;
    ProfileRow row{name, m.kernel, times, m.microseconds, 0, "memory", ""};
    const auto at_least = [&](double amount, double rate, const char* bound) {
      if (rate <= 0 || 1e6 * amount / rate <= row.floor) return;
      row.floor = 1e6 * amount / rate;
      row.bound = bound;
    };
    at_least(m.cost.bytes, ceilings_.bytes_per_second, "memory");
    at_least(m.cost.flop, m.cost.fp8 ? ceilings_.fp8_flops : ceilings_.flops, m.cost.fp8 ? "fp8 GEMM" : "bf16 GEMM");
    at_least(m.cost.special, kSpecialPerClock * ceilings_.clocks.multiprocessors * ceilings_.clocks.multiprocessor_hz, "special functions");
    tables_.back().rows.push_back(row);
  }

  /** Prints the last table. `whole`: shares of its sum, which is what a chunk or a step takes. */
  void print(const char* unit, bool whole) const {
    const ProfileTable& t = tables_.back();
    say("\n| %s | kernel | us | floor, us | floor of | floor / time, %% | times | ms | share, %% |\n|---|---|---:|---:|---|---:|---:|---:|---:|\n", t.name.c_str());
    double sum = 0;
    for (const ProfileRow& row : t.rows) sum += row.microseconds * row.times / 1e3;
    for (const ProfileRow& row : t.rows) {
      if (row.microseconds == 0) {
        say("| %s | | not measured: %s | | | | %d | | |\n", row.name.c_str(), row.why.c_str(), row.times);
        continue;
      }
      const double ms = row.microseconds * row.times / 1e3;
      char share[16] = "";
      if (whole) std::snprintf(share, sizeof share, "%.1f", 100 * ms / sum);
      say("| %s | %s | %.2f | %.2f | %s | %.0f | %d | %.3f | %s |\n", row.name.c_str(), row.kernel.c_str(), row.microseconds, row.floor, row.bound.c_str(),
          100 * row.floor / row.microseconds, row.times, ms, share);
    }
    if (whole) say("| sum of a %s | | | | | | | %.3f | 100.0 |\n", unit, sum);
  }

  void read() {
    const int rows = shape_.chunk, layers = shape_.model.n_layer;
    for (const Dtype dtype : {Dtype::bf16, Dtype::int8, Dtype::code4, Dtype::fp8}) {
      const std::string format = name_of(dtype);
      const auto project = [&](Projection which) {
        const std::string name = ProfileKernels::name_of(which);
        add(name, layers, name + " " + format, [&, which] { return kernels_.product(which, dtype, rows); });
      };
      begin("reading, " + format + ", " + std::to_string(rows) + " rows");
      add("embed", 1, "embed, read", [&] { return kernels_.embed(rows); });
      add("rms_norm", layers, "rms_norm, read", [&] { return kernels_.rms_norm(rows); });
      project(Projection::in_proj);
      add("causal_conv1d", layers, "conv 1", [&] { return kernels_.causal_conv1d(rows, 1); });
      project(Projection::x_proj);
      add("mixer_norms", layers, "mixer_norms", [&] { return kernels_.mixer_norms(rows); });
      project(Projection::dt_proj);
      add("selective_scan", layers, "scan 1", [&] { return kernels_.selective_scan(rows, 1); });
      project(Projection::out_proj);
      print("chunk", true);
    }
  }

  void decode() {
    const int layers = shape_.model.n_layer;
    for (const Dtype dtype : {Dtype::bf16, Dtype::int8, Dtype::code4, Dtype::fp8})
      for (const int rows : shape_.decode_rows) {
        const std::string n = std::to_string(rows), key = std::string(name_of(dtype)) + " " + n;
        // Quantized at load the head is int8; stored in eight or four bits it stays what it is.
        const Dtype head = dtype == Dtype::fp8 ? Dtype::int8 : Dtype::bf16;
        begin("decode, " + std::string(name_of(dtype)) + ", " + n + " together");
        add("embed", 1, "embed " + n, [&] { return kernels_.embed(rows); });
        add("rms_norm", layers + 1, "rms_norm " + n, [&] { return kernels_.rms_norm(rows); });
        add("in_proj and convolution", layers, "in_proj_conv " + key, [&] { return kernels_.in_proj_conv(dtype, rows); });
        add("x_proj", layers, "x_proj " + key, [&] { return kernels_.x_proj(dtype, rows); });
        add("norms, dt_proj and scan", layers, "update " + key, [&] { return kernels_.selective_state_update(dtype, rows); });
        add("out_proj", layers, "out_proj " + key, [&] { return kernels_.out_proj(dtype, rows); });
        add("gather", 1, "gather " + n, [&] { return kernels_.gather(rows); });
        add("lm_head", 1, "lm_head " + std::string(name_of(head)) + " " + n, [&] { return kernels_.lm_head(head, rows); });
        add("shortlist", 1, "shortlist " + n, [&] { return kernels_.shortlist(rows); });
        add("log_probs", 1, "log_probs " + n, [&] { return kernels_.log_probs(rows); });
        print("step", true);
      }
  }

  /** Other shapes of the same kernels, parts of what was timed as one, and kernels that only other models use. */
  void beside() {
    const int rows = shape_.chunk, scored = std::min(rows, 256), few = std::min(rows, 64);
    begin("beside, each once");
    add("a launch that does nothing", 1, "launch", [&] { return kernels_.launch_alone(); });
    add("causal_conv1d, 8 documents", 1, "conv 8", [&] { return kernels_.causal_conv1d(rows, 8); });
    add("selective_scan, 8 documents", 1, "scan 8", [&] { return kernels_.selective_scan(rows, 8); });
    add("lm_head, " + std::to_string(scored) + " rows", 1, "lm_head, read", [&] { return kernels_.lm_head_read(scored); });
    add("log_probs, " + std::to_string(scored) + " rows", 1, "log_probs, read", [&] { return kernels_.log_probs(scored); });
    for (const Projection which : kProjections) {
      const std::string name = std::string(ProfileKernels::name_of(which)) + " without cuBLASLt";
      add(name, 1, name, [&, which] { return kernels_.tiles(which, rows); });
    }
    for (const Dtype dtype : {Dtype::int8, Dtype::code4, Dtype::fp8})
      add(std::string("in_proj, ") + name_of(dtype) + " to bf16", 1, std::string("dequantize ") + name_of(dtype), [&] { return kernels_.dequantize(dtype); });
    add("out_proj's rows to e4m3", 1, "quantize_rows", [&] { return kernels_.quantize_rows(rows); });
    add("in_proj's scales, where cuBLASLt does not apply them", 1, "scale_product", [&] { return kernels_.scale_product(rows); });
    add("rows to bf16", 1, "convert", [&] { return kernels_.convert(rows); });
    add("in_proj's bias", 1, "add_bias", [&] { return kernels_.add_bias(rows); });
    add("x_proj in fp32, " + std::to_string(few) + " rows", 1, "linear_f32", [&] { return kernels_.linear_f32(few); });
    print("", false);
  }

  /** What the promise of gemm.h costs. */
  void plans() {
    say("\n| product, %d rows | candidates | kept, which | us | the fastest, which | us | does it keep the bits | price, %% |\n|---|---:|---:|---:|---:|---:|---|---:|\n", shape_.chunk);
    if (!kernels_.library().empty()) say("| library and its plans: %s | | | | | | | |\n", kernels_.library().c_str());
    for (const bool fp8 : {false, true})
      for (const Projection which : kProjections) {
        const std::string name = std::string(ProfileKernels::name_of(which)) + ", " + kernels_.shape_of(which) + (fp8 ? ", fp8" : ", bf16");
        if (deadline_.passed()) {
          say("| %s | | | not measured: no time left | | | | |\n", name.c_str());
          continue;
        }
        try {
          print_plan(name, kernels_.candidates(which, fp8));
        } catch (const cuda::OutOfMemory& e) {
          say("| %s | | | not measured: %s | | | | |\n", name.c_str(), e.what());
        }
      }
  }

  static void print_plan(const std::string& name, const std::vector<Candidate>& all) {
    int chosen = -1, best = -1;
    for (int i = 0; i < int(all.size()); ++i) {
      if (all[i].chosen) chosen = i;
      if (all[i].microseconds > 0 && (best < 0 || all[i].microseconds < all[best].microseconds)) best = i;
    }
    if (best < 0) return say("| %s | %zu | none | | | | | |\n", name.c_str(), all.size());
    const char* const keeps = all[best].keeps == Candidate::Keeps::yes ? "yes" : all[best].keeps == Candidate::Keeps::no ? "no" : "not tried";
    if (chosen < 0) return say("| %s | %zu | none | | %d | %.1f | %s | |\n", name.c_str(), all.size(), best + 1, all[best].microseconds, keeps);
    say("| %s | %zu | %d | %.1f | %d | %.1f | %s | %.1f |\n", name.c_str(), all.size(), chosen + 1, all[chosen].microseconds, best + 1, all[best].microseconds, keeps,
        100 * (all[chosen].microseconds / all[best].microseconds - 1));
  }

  const ProfileShape shape_;
  const Ceilings ceilings_;
  const Deadline deadline_;
  ProfileKernels kernels_;
  std::map<std::string, Measured> measured_;
  std::vector<ProfileTable> tables_;
};

}  // namespace

double ProfileTable::milliseconds() const {
  double sum = 0;
  for (const ProfileRow& row : rows) {
    if (row.microseconds == 0) return 0;
    sum += row.microseconds * row.times / 1e3;
  }
  return sum;
}

ProfileShape falcon_mamba_profile() { return {falcon_mamba_7b(), 2048, {1, 8, 64}, false}; }
ProfileShape tiny_profile() { return {{100, 2, 64, 128, 16, 4, 64, 1e-5f, 1e-6f, true}, 40, {1, 2, 3}, true}; }

std::vector<ProfileTable> print_profile(const CudaOptions& options, const ProfileShape& shape, const Ceilings& ceilings, const Deadline& deadline) {
  return Profiler(options, shape, ceilings, deadline).run();
}

}  // namespace longhaul
