#include "gpu/timings.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <thread>

#include "backend/cuda/gemm.h"
#include "backend/cuda/runtime.h"
#include "engine/error.h"
#include "engine/model.h"
#include "gpu/synthetic.h"

namespace longhaul {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point began) { return std::chrono::duration<double>(Clock::now() - began).count(); }

/** No new row starts after it; what is left out says so. */
struct Deadline {
  Clock::time_point at;
  bool passed() const { return Clock::now() >= at; }
};

bool left_out(const Deadline& deadline, const std::string& what) {
  if (!deadline.passed()) return false;
  std::printf("| %s | not measured: no time left | | |\n", what.c_str());
  return true;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// reference: 2 FLOP a weight of the four projections of 64 layers.
constexpr double kGflopPerToken = 13.455;
constexpr int kChunk = 2048;

struct Ceilings {
  double bytes_per_second, flops, to_device;  // 0: not measured; to_device: bytes a second from page-locked memory
};

/** Bytes read plus bytes written of a large copy; the largest matrix product of the model by cuBLASLt. */
Ceilings measure_ceilings(int device) {
  using namespace cuda;
  Ceilings out{};
  Stream stream;
  {
    const size_t bytes = size_t(2) << 30;
    const DeviceMemory from(allocate_device(bytes)), to(allocate_device(bytes));
    std::vector<double> rates;
    for (int i = 0; i < 12; ++i) {
      const float ms = time_on(stream, [&] { stream.copy(to.get(), from.get(), bytes); });
      if (i > 1) rates.push_back(2e3 * double(bytes) / ms);
    }
    out.bytes_per_second = median(rates);
    const size_t part = size_t(256) << 20;
    const PinnedMemory host(allocate_pinned(part));
    std::memset(host.get(), 1, part);
    rates.clear();
    for (int i = 0; i < 8; ++i) {
      const float ms = time_on(stream, [&] { stream.copy(to.get(), host.get(), part); });
      if (i > 1) rates.push_back(1e3 * double(part) / ms);
    }
    out.to_device = median(rates);
  }
  std::string missing;
  Uploader uploader(size_t(8) << 20);
  const auto gemm = open_gemm(device_facts(device), kChunk, uploader, missing);
  if (!gemm) {
    std::printf("%s\n", missing.c_str());
    return out;
  }
  const int n_in = 4096, n_out = 16384;
  const size_t w_bytes = size_t(n_in) * n_out * 2, x_bytes = size_t(kChunk) * n_in * 2, y_bytes = size_t(kChunk) * n_out * 2;
  const DeviceMemory w(allocate_device(w_bytes)), x(allocate_device(x_bytes)), y(allocate_device(y_bytes));
  const PinnedMemory random(allocate_pinned(w_bytes));
  uint32_t state = 2463534242u;
  for (size_t i = 0; i < w_bytes / 2; ++i) {
    state ^= state << 13, state ^= state >> 17, state ^= state << 5;
    static_cast<uint16_t*>(random.get())[i] = uint16_t((state & 0x807f) | (120 + (state >> 20) % 4) << 7);
  }
  stream.copy(w.get(), random.get(), w_bytes);
  stream.copy(x.get(), random.get(), x_bytes);
  LinearArgs args{{Dtype::bf16, w.get(), nullptr, nullptr, n_in, n_out, 0}, nullptr, {x.get(), n_in, true}, kChunk, {y.get(), n_out, true}, false};
  std::vector<double> rates;
  for (int i = 0; i < 30; ++i) {
    bool ran = true;
    const float ms = time_on(stream, [&] { ran = gemm->run(stream, args); });
    if (!ran) {
      std::printf("no cuBLASLt plan keeps the bits of a row: prefill goes by linear_mma\n");
      return out;
    }
    if (i > 4) rates.push_back(2e3 * kChunk * double(n_in) * n_out / ms);
  }
  out.flops = median(rates);
  return out;
}

/** A model of the 7B shape on the device, with sessions. */
class Bench {
 public:
  Bench(Stored stored, Quantize quantize, const CudaOptions& options) {
    free_before_ = cuda::device_facts(options.device).free_bytes;
    const SyntheticModel synthetic(falcon_mamba_7b(), stored);
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
      for (int t = 0; t < tokens; ++t) items[i].tokens.push_back(int32_t((next_ = next_ * 1664525u + 1013904223u) >> 8) % 65024);
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

  size_t free_before_ = 0;
  std::unique_ptr<Model> model_;
  uint32_t next_ = 1;
};

void row(const char* what, double tokens_per_second, double share, const char* target) {
  std::printf("| %s | %.0f | %s | %s |\n", what, tokens_per_second,
              share > 0 ? (std::to_string(int(100 * share + 0.5)) + " %").c_str() : "", target);
}

/** Weights that a decode step reads, lm_head in bf16 with them. */
double weight_bytes(Stored stored) {
  const double linear = 6727663616.0, head = 2.0 * 65024 * 4096;
  return head + linear * (stored == Stored::bf16 ? 2.0 : stored == Stored::int8 ? 1.0 : 0.5 + 4.0 / kNf4Block);
}
// Read and written: 64 layers of 8,192 channels, 16 states and 3 columns, fp32.
constexpr double kStateTraffic = 2.0 * 64 * 8192 * (16 + 3) * 4;

/** Reads one document on and on, and says what of the device's memory is taken at 4 k, 64 k, 200 k and 1 M tokens. */
class LongDocument {
 public:
  LongDocument(Bench& bench, int device) : bench_(bench), device_(device), slot_(bench.open()) {}
  ~LongDocument() { bench_.close(slot_); }
  int slot() const { return slot_; }
  int chunks() const { return read_; }

  double chunk() {
    const double took = bench_.step({slot_}, kChunk, false);
    ++read_;
    for (const int at : {2, 32, 100, 512})
      if (read_ == at)
        std::printf("| device memory in use at %d k tokens | %.3f GB | | the same |\n", at * kChunk / 1000, bench_.in_use(device_) / 1e9);
    return took;
  }
  /** To 1 M tokens, or as far as there is time: an engine that is slow leaves some to the formats that follow. */
  void finish(const Deadline& whole) {
    constexpr auto kMost = std::chrono::seconds(60);
    const Deadline deadline{std::min(whole.at, Clock::now() + kMost)};
    while (read_ < 512 && !deadline.passed()) chunk();
    if (read_ < 512) std::printf("| device memory in use at 1048 k tokens | not measured: no time left at %d k tokens | | |\n", read_ * kChunk / 1000);
    std::printf("| allocations since the model was loaded | %zu | | 0 |\n", bench_.model().backend().allocations() - bench_.taken_at_load);
  }

 private:
  Bench& bench_;
  const int device_, slot_;
  int read_ = 0;
};

void prefill(Bench& bench, const Ceilings& ceilings, int device, int chunks, const Deadline& deadline) {
  if (left_out(deadline, "prefill, one document")) return;
  LongDocument document(bench, device);
  const int slot = document.slot();
  document.chunk();
  document.chunk();
  std::vector<double> times;
  for (int i = 0; i < chunks && (i < 10 || !deadline.passed()); ++i) times.push_back(document.chunk());
  const double ceiling = ceilings.flops / (kGflopPerToken * 1e9);
  const auto rate = [&](double s) { return kChunk / s; };
  const auto share = [&](double r) { return ceiling > 0 ? r / ceiling : 0; };
  const double all = rate(median(times));
  row(("prefill, one document, " + std::to_string(document.chunks() * kChunk / 1000) + " k tokens").c_str(), all, share(all), "≥ 80 % of the GEMM ceiling");
  const size_t tenth = std::max<size_t>(1, times.size() / 10);
  row("... its first tenth", rate(median({times.begin(), times.begin() + tenth})), 0, "flat");
  row("... its last tenth", rate(median({times.end() - tenth, times.end()})), 0, "flat");
  if (left_out(deadline, "prefill, 8 documents together, and a snapshot while prefilling")) return;
  std::vector<int> eight;
  for (int i = 0; i < 8; ++i) eight.push_back(bench.open());
  const double together = 8 * kChunk / 8 / bench.steps(eight, kChunk / 8, 8, false);
  row("prefill, 8 documents together", together, share(together), "≥ one document's");
  for (const int s : eight) bench.close(s);

  // Snapshots of a state that is not in the step, one a chunk, taken between its layers.
  const ModelConfig config = falcon_mamba_7b();
  std::vector<float> conv(size_t(config.n_layer) * config.d_inner * 3), ssm(size_t(config.n_layer) * config.d_inner * 16);
  const int other = bench.open();
  bool due = false;
  bench.model().on_pause([&] {
    if (due) bench.model().transfer().snapshot(other, conv.data(), ssm.data(), [](std::exception_ptr) {});
    due = false;
  });
  std::vector<double> with, without;
  for (int i = 0; i < 10; ++i) {
    without.push_back(bench.step({slot}, kChunk, false));
    due = true;
    with.push_back(bench.step({slot}, kChunk, false));
  }
  bench.model().on_pause([] {});
  bench.model().transfer().drain();
  std::printf("| snapshot while prefilling, one every 64 k tokens | %.3f %% | | ≤ 0.5 %% |\n", 100 * (median(with) / median(without) - 1) / 32);
  bench.close(other);
  if (chunks >= 100) document.finish(deadline);
}

void decode(Bench& bench, const Ceilings& ceilings, Stored stored, const char* name, const std::vector<int>& sizes, bool after_reading, const Deadline& deadline) {
  const char* const targets[] = {"≥ 85 %", "≥ 75 %", "≥ 65 %"};
  for (const int n : sizes) {
    if (left_out(deadline, "decode, " + std::string(name) + ", " + std::to_string(n) + " together")) continue;
    std::vector<int> slots;
    for (int i = 0; i < n; ++i) slots.push_back(bench.open());
    const double once = bench.steps(slots, 1, 30, false);
    const double sampled = bench.steps(slots, 1, 10, true);
    const double share = (weight_bytes(stored) - (2.0 * 65024 * 4096) + n * kStateTraffic) / once / ceilings.bytes_per_second;
    row(("decode, " + std::string(name) + ", " + std::to_string(n) + " together, layers alone").c_str(), n / once, share, n == 1 ? targets[int(stored)] : n == 64 ? "≥ 70 %" : "");
    row("... with lm_head, log-probabilities and sampling", n / sampled,
        (weight_bytes(stored) + n * kStateTraffic) / sampled / ceilings.bytes_per_second, "");
    for (const int slot : slots) bench.close(slot);
  }
  if (!after_reading || left_out(deadline, "decode after 131 k tokens against after 1")) return;
  const int fresh = bench.open(), read = bench.open();
  for (int i = 0; i < 64; ++i) bench.step({read}, kChunk, false);
  const double first = bench.steps({fresh}, 1, 30, false), later = bench.steps({read}, 1, 30, false);
  std::printf("| decode after 131 k tokens against after 1 | %.1f %% | | ± 2 %% |\n", 100 * (later / first - 1));
}

void time_format(const char* name, Stored stored, Quantize quantize, Stored weighs, const CudaOptions& options, const Ceilings& ceilings,
                 const Deadline& deadline) {
  Bench bench(stored, quantize, options);
  std::printf("| %s: loaded in %.1f s, device memory %.2f GB | | | |\n", name, bench.load_seconds, bench.device_bytes / 1e9);
  const double slower = std::min(bench.read_rate, ceilings.to_device), rate = bench.stored_bytes / bench.load_seconds;
  std::printf("| ... %.1f GB/s of stored weights; the file is read at %.1f GB/s | | %.0f %% of the slower | ≥ 80 %% |\n", rate / 1e9,
              bench.read_rate / 1e9, 100 * rate / slower);
  // The format that most people will serve is timed at length.
  const bool whole = quantize == Quantize::none && stored == Stored::bf16;
  decode(bench, ceilings, weighs, name, whole ? std::vector<int>{1, 2, 4, 8, 16, 32, 64} : std::vector<int>{1, 8, 64}, whole, deadline);
  prefill(bench, ceilings, options.device, whole ? 100 : 10, deadline);
}

}  // namespace

void print_timings(const CudaOptions& options, double seconds) {
  const Deadline deadline{Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds))};
  const Ceilings ceilings = measure_ceilings(options.device);
  std::printf("\n| ceiling | |\n|---|---:|\n| memory, copy (read + write) | %.0f GB/s |\n| bf16 GEMM, 2048 x 4096 x 16384, cuBLASLt | %.0f TFLOP/s |\n| page-locked host memory to the device | %.1f GB/s |\n\n",
              ceilings.bytes_per_second / 1e9, ceilings.flops / 1e12, ceilings.to_device / 1e9);
  std::printf("| FalconMamba-7B shape, random weights | tokens/s | of the ceiling | target |\n|---|---:|---:|---|\n");
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
      time_format(name, stored, quantize, weighs, options, ceilings, deadline);
    } catch (const EngineError& e) {
      // A device that is too small for one format may have room for the next.
      std::printf("| %s | not measured: %s | | |\n", name, e.what());
    }
  }
}

}  // namespace longhaul
