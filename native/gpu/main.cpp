// gpu_check: checks every op and small models on a GPU against the CPU, then prints the tables of docs/benchmarks.md.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>

#include "backend/cuda/runtime.h"
#include "gpu/ceilings.h"
#include "gpu/checks.h"
#include "gpu/deadline.h"
#include "gpu/find_cublaslt.h"
#include "gpu/profile.h"
#include "gpu/report.h"
#include "gpu/timings.h"

namespace {

constexpr const char* kUsage = R"(usage: gpu_check [--device N] [--quick] [--checks] [--profile] [--goldens DIR] [--seconds N] [--json FILE]

Checks every op x shape, the goldens and small models on the GPU, against double precision, the CPU and themselves (same bits
however a document is cut and whoever shares its steps); then prints what each kernel of FalconMamba-7B's shape takes by itself, and speeds with
random weights, beside the ceilings measured in the same run. Exit code 1 when a check fails, 2 when there is no GPU. Nothing is timed after a failure.

  --device N   which GPU (default 0)
  --quick      a quarter of the op cases, the goldens of short sequences, and sampling, alone
  --only TEXT  op cases whose names hold TEXT, or sampling, tiles, model or goldens, and nothing else
  --goldens DIR  other goldens than the repository's own
  --checks     no timings
  --profile    no checks: the ceilings, and what each kernel takes; on the emulator of narrow layers, and their speeds, to see that they run
  --json FILE  all tables, the device and its clocks, versions, commit and date
  --seconds N  no new timing starts after these, counted from the program's start (default 400)

Example: gpu_check --seconds 120
)";

/** Of the whole, for what each kernel takes. */
constexpr double kProfileSeconds = 25;

void measure(const longhaul::CudaOptions& options, double seconds, bool profile_alone, const std::string& json) {
  using namespace longhaul;
  const Deadline deadline{seconds_from_now(seconds)};
  const Facts facts = device_report(options.device);
  for (const auto& [name, value] : facts) say("%s: %s\n", name.c_str(), value.c_str());
  const bool emulated = cuda::device_facts(options.device).capability == 0;
  const Ceilings ceilings = measure_ceilings(options.device, emulated);
  print_ceilings(ceilings);
  const Deadline profiled{std::min(deadline.at, seconds_from_now(std::min(kProfileSeconds, seconds / 3)))};
  const ProfileShape shape = emulated ? tiny_profile() : falcon_mamba_profile();
  const auto profile = print_profile(options, shape, ceilings, emulated ? deadline : profiled);
  // Written before the long part too: a run that is ended in it leaves what was measured first.
  if (!json.empty()) write_report(json, facts);
  if (profile_alone && !emulated) return;
  print_timings(options, shape, ceilings, profile, deadline);
  if (!json.empty()) write_report(json, facts);
}

int run(int argc, char** argv) {
  longhaul::CudaOptions options;
  bool quick = false, checks = false;
  double seconds = 400;
  const auto began = std::chrono::steady_clock::now();
  std::string only, json, goldens = LONGHAUL_GOLDENS;
  bool profile = false;
  for (int i = 1; i < argc; ++i) {
    const auto is = [&](const char* name) { return std::strcmp(argv[i], name) == 0; };
    const auto number = [&] {
      if (i + 1 >= argc) throw std::invalid_argument(std::string(argv[i]) + " needs a number");
      return std::atoi(argv[++i]);
    };
    if (is("--device"))
      options.device = number();
    else if (is("--seconds"))
      seconds = number();
    else if (is("--quick"))
      quick = true;
    else if (is("--only"))
      only = i + 1 < argc ? argv[++i] : "";
    else if (is("--goldens"))
      goldens = i + 1 < argc ? argv[++i] : "";
    else if (is("--json"))
      json = i + 1 < argc ? argv[++i] : "";
    else if (is("--checks"))
      checks = true;
    else if (is("--profile"))
      profile = true;
    else {
      std::fputs(kUsage, stderr);
      return is("--help") ? 0 : 64;
    }
  }
  std::printf("device: %s\n", longhaul::probe_cuda().c_str());
  longhaul::CudaOptions small = options;
  small.block_rows = 256;
  small.slots = 8;
  try {
    longhaul::create_cuda_backend(small);
  } catch (const std::invalid_argument& e) {
    std::fprintf(stderr, "gpu_check: %s\n", e.what());
    return 2;
  }
  longhaul::find_cublaslt(options.device);
  if (!only.empty()) {
    const int failed = only == "sampling"  ? longhaul::check_sampling(small)
                       : only == "tiles"   ? longhaul::check_tiles(small)
                       : only == "model"   ? longhaul::check_model(small)
                       : only == "goldens" ? longhaul::check_goldens(small, goldens, quick)
                                           : longhaul::check_ops(small, quick, only);
    std::printf("%d checks failed\n", failed);
    return failed > 0;
  }
  if (!profile) {
    int failed = longhaul::check_fp8() + longhaul::check_memory(options) + longhaul::check_allocations(options);
    failed += longhaul::check_ops(small, quick, only) + longhaul::check_tiles(small);
    failed += longhaul::check_goldens(small, goldens, quick);
    failed += longhaul::check_sampling(small) + (quick ? 0 : longhaul::check_model(small));
    std::printf("%d checks failed\n", failed);
    if (failed > 0) return 1;
  }
  if (!checks || profile) {
    const double left = seconds - longhaul::seconds_since(began);
    measure(options, left, profile, json);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  // A run that is ended from outside leaves all that it found.
  std::setvbuf(stdout, nullptr, _IOLBF, size_t(1) << 16);
  try {
    return run(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "gpu_check: %s\n", e.what());
    return 1;
  }
}
