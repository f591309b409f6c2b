#include "gpu/checks.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <thread>

#include "engine/error.h"
#include "engine/memory_plan.h"
#include "engine/model.h"
#include "gpu/synthetic.h"
#include "test/op_cases.h"

namespace longhaul {
namespace {

using op_cases::Case;
using op_cases::Doubles;
using op_cases::Floats;

int report(bool ok, const std::string& name, const std::string& detail) {
  std::printf("%s %s # %s\n", ok ? "ok" : "not ok", name.c_str(), detail.c_str());
  return ok ? 0 : 1;
}

using MakeCase = std::function<Case()>;

/** As FalconMamba-7B has them, and 13 rows of the widest. */
std::vector<MakeCase> large_cases() {
  std::vector<MakeCase> all;
  for (const Dtype dtype : {Dtype::bf16, Dtype::int8, Dtype::code4, Dtype::fp8})
    for (const int rows : {1, 3, 13, 33, 64, 150})
      for (const auto& [n_in, n_out] : {std::pair{4096, 512}, {8192, 288}, {256, 8192}, {8192, 4096}}) {
        if (rows >= 33 && n_in * n_out >= 4 << 20) continue;
        const op_cases::LinearShape shape{rows, n_in, n_out, false, n_out == 4096};
        all.push_back([=] { return op_cases::linear_case(shape, dtype, Activations::matched); });
      }
  all.push_back([] { return op_cases::scan_case(1, 200, 8192, 16); });
  all.push_back([] { return op_cases::conv_case(1, 200, 8192, 4); });
  all.push_back([] { return op_cases::norm_case(5, 4096, true, 1e-5f); });
  all.push_back([] { return op_cases::in_proj_conv_case(9, 4096, 8192, 4, Dtype::bf16, true); });
  for (const Dtype dtype : {Dtype::bf16, Dtype::int8, Dtype::code4, Dtype::fp8})
    all.push_back([=] { return op_cases::dt_proj_scan_case(9, 256, 8192, 16, dtype, true, true); });
  all.push_back([] { return op_cases::log_probs_case(5, 65024); });
  return all;
}

/**
 * Calls each(case) in order with cases whose references, for bf16 activations, are worked out already: making them and working them out takes the host
 * longer than the device takes, so several threads do it ahead. A case holds up to two gigabytes.
 */
void each_ready(const std::vector<MakeCase>& makers, const std::string& only, const std::function<void(const Case&)>& each) {
  constexpr size_t kMostAhead = 6;
  const size_t ahead = std::clamp<size_t>(std::thread::hardware_concurrency(), 1, kMostAhead);
  std::deque<std::future<Case>> coming;
  size_t next = 0;
  const auto ready = [&only](const MakeCase& make) {
    Case c = make();
    if (c.name.find(only) == std::string::npos) return c;
    auto reference = std::make_shared<const Doubles>(c.bf16_reference());
    c.reference = c.bf16_reference = [reference] { return *reference; };
    return c;
  };
  while (next < makers.size() || !coming.empty()) {
    for (; next < makers.size() && coming.size() < ahead; ++next) coming.push_back(std::async(std::launch::async, ready, makers[next]));
    const Case c = coming.front().get();
    coming.pop_front();
    if (c.name.find(only) != std::string::npos) each(c);
  }
}

int check_case(const Case& c, CudaOptions options, Activations activations, const char* how = "") {
  options.activations = activations;
  const std::string name = c.name + (activations == Activations::f32 ? ", f32" : ", bf16") + how;
  Floats found;
  try {
    const auto backend = create_cuda_backend(options);
    found = c.run(*backend);
  } catch (const std::exception& e) {
    // A broken device stays broken: what broke it is named, and no other case is tried.
    report(false, name, e.what());
    throw;
  }
  const Doubles reference = activations == Activations::f32 ? c.reference() : c.bf16_reference();
  // The device's fast exponentials and logarithms are good to a few units in the last place, not to one.
  const double most = activations == Activations::f32 ? 4 * c.tolerance : std::max(4 * c.tolerance, c.bf16_tolerance);
  const double relative = activations == Activations::f32 ? 0 : c.bf16_relative;
  double worst = reference.size() == found.size() ? 0 : INFINITY;
  for (size_t i = 0; i < found.size() && worst < INFINITY; ++i) {
    const double error = std::fabs(found[i] - reference[i]) / (most + relative * std::fabs(reference[i]));
    worst = error <= worst ? worst : error;  // NaN sticks
  }
  char detail[64];
  std::snprintf(detail, sizeof detail, "%.3f of the allowed error", worst);
  return report(worst <= 1, name, detail);
}

struct Outcome {
  Floats logits, conv, ssm;
  bool operator==(const Outcome& other) const {
    const auto same = [](const Floats& a, const Floats& b) { return a.size() == b.size() && !std::memcmp(a.data(), b.data(), 4 * a.size()); };
    return same(logits, other.logits) && same(conv, other.conv) && same(ssm, other.ssm);
  }
};

class Reader {
 public:
  Reader(const Checkpoint& checkpoint, Quantize quantize, std::unique_ptr<Backend> backend)
      : config_(checkpoint.config), model_(checkpoint, quantize, std::move(backend)) {}

  std::vector<int32_t> document(int tokens) const {
    std::vector<int32_t> out(tokens);
    for (int i = 0; i < tokens; ++i) out[i] = int((int64_t(i) * 7919 + 13) % config_.vocab_size);
    return out;
  }

  /** Reads `tokens`, cut, while `others` sequences read or decode in the same steps; then decodes three tokens. */
  Outcome read(const std::vector<int32_t>& tokens, const std::vector<int>& cuts, int others) {
    std::vector<int> slots;
    for (int i = 0; i <= others; ++i) {
      slots.push_back(model_.states().acquire());
      model_.states().clear(slots.back());
    }
    Outcome out{Floats(config_.vocab_size), Floats(size_t(config_.n_layer) * config_.d_inner * (config_.d_conv - 1)),
                Floats(size_t(config_.n_layer) * config_.d_inner * config_.d_state)};
    const auto step = [&](std::vector<int32_t> mine) {
      std::vector<StepItem> items(slots.size());
      for (size_t i = 0; i < items.size(); ++i) {
        items[i].slot = slots[i];
        items[i].want = Want::nothing;
        items[i].tokens = i % 2 ? std::vector<int32_t>{int32_t(i)} : document(int(5 + 3 * i));
      }
      items[0].tokens = std::move(mine);
      items[0].want = Want::last_logits;
      items[0].out = out.logits.data();
      // Not always the first of its step.
      std::swap(items.front(), items.back());
      model_.step(items);
    };
    size_t at = 0;
    for (size_t i = 0; at < tokens.size(); ++i) {
      const size_t n = i < cuts.size() ? size_t(cuts[i]) : tokens.size() - at;
      step({tokens.begin() + at, tokens.begin() + at + n});
      at += n;
    }
    for (int i = 0; i < 3; ++i) step({tokens[i]});
    model_.states().snapshot(slots[0], out.conv.data(), out.ssm.data());
    for (const int slot : slots) model_.states().release(slot);
    return out;
  }

 private:
  const ModelConfig config_;
  Model model_;
};

double farthest(const Floats& a, const Floats& b) {
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double error = std::fabs(double(a[i]) - b[i]);
    most = error <= most ? most : error;
  }
  return most;
}

}  // namespace

int check_ops(const CudaOptions& options, bool quick, const std::string& only) {
  int failed = 0;
  int number = 0;
  for (const Case& c : op_cases::cases()) {
    if (c.name.find(only) == std::string::npos) continue;
    if (quick && number++ % 4) continue;
    failed += check_case(c, options, c.activations);
    if (c.activations == Activations::matched && c.name.find(" reading") != std::string::npos) {
      CudaOptions own = options;
      own.cublaslt = false;
      failed += check_case(c, own, c.activations, ", own products");
    }
    // Convolution, scan and what is made of them have both elements.
    if (c.activations == Activations::f32 && c.bf16_relative > 0) failed += check_case(c, options, Activations::matched);
  }
  if (!quick) each_ready(large_cases(), only, [&](const Case& c) { failed += check_case(c, options, Activations::matched); });
  return failed;
}

int check_tiles(const CudaOptions& options) {
  CudaOptions own = options;
  own.cublaslt = false;
  own.activations = Activations::matched;
  own.block_rows = 256;
  const auto backend = create_cuda_backend(own);
  int failed = 0;
  // 64 tiles of 128 x 256 at least, with edges on every side; and a weight that has few rows.
  for (const auto& [n_in, n_out, accumulate] : {std::tuple{48, 8188, true}, {336, 288, false}}) {
    const int rows = 250, width = padded(n_out);
    const op_cases::Weight w = op_cases::random_weight(Dtype::bf16, n_out, n_in, 64, 5);
    const Floats x = op_cases::random_floats(size_t(rows) * n_in, 6), before = op_cases::random_floats(size_t(rows) * width, 7);
    const auto matrix = backend->pack(w.host(), {n_out});
    const op_cases::Activation dx(*backend, x);
    const auto product = [&](const std::vector<int>& cuts) {
      const op_cases::Device y(*backend, before);
      int first = 0;
      for (const int cut : cuts) {
        Rows from = dx.rows(n_in), to{y.data + size_t(first) * width, width};
        from.data = reinterpret_cast<float*>(reinterpret_cast<uint16_t*>(from.data) + size_t(first) * n_in);
        const Block block{false, std::vector<int32_t>(cut), {{0, cut, y.data}}};
        backend->run_block(block, [&](int n) { backend->linear(*matrix, nullptr, from, n, to, accumulate); });
        first += cut;
      }
      return y.host();
    };
    const Floats whole = product({rows});
    double worst = 0;
    for (int r = 0; r < rows; ++r)
      for (int n = 0; n < n_out; n += 1 + n % 7) {
        double sum = accumulate ? before[size_t(r) * width + n] : 0;
        for (int k = 0; k < n_in; ++k)
          sum += double(math::from_bf16(math::to_bf16(x[size_t(r) * n_in + k]))) * w.values[size_t(n) * n_in + k];
        const double error = std::fabs(whole[size_t(r) * width + n] - sum);
        worst = error <= worst ? worst : error;  // NaN stays
      }
    const std::string name = "own products, 250 x " + std::to_string(n_in) + " x " + std::to_string(n_out) + (accumulate ? ", added" : "");
    char detail[64];
    std::snprintf(detail, sizeof detail, "error %.1e, allowed 1.0e-04", worst);
    failed += report(worst <= 1e-4, name, detail);
    const Floats cut = product({2, 97, 151});
    failed += report(!std::memcmp(cut.data(), whole.data(), 4 * whole.size()), name + ": the same bits however rows are cut", "2, 97 and 151 rows");
  }
  return failed;
}

int check_fp8() {
  int failed = 0, wrong = 0;
  for (int code = 0; code < 256; ++code) {
    const int exponent = code >> 3 & 15, mantissa = code & 7;
    const double magnitude = exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
    const float found = math::from_e4m3(uint8_t(code));
    if ((code & 0x7f) == 0x7f)
      wrong += !std::isnan(found) || (math::to_e4m3(found) & 0x7f) != 0x7f;
    else
      wrong += found != (code & 0x80 ? -magnitude : magnitude) || math::to_e4m3(found) != code;
  }
  failed += report(wrong == 0, "e4m3: all codes, there and back", std::to_string(wrong) + " wrong");
  wrong = 0;
  for (int code = 0; code < 0x7e; ++code) {
    const float low = math::from_e4m3(uint8_t(code)), high = math::from_e4m3(uint8_t(code + 1)), middle = (low + high) / 2;
    for (const int sign : {0, 0x80}) {
      const auto rounded = [&](float x) { return math::to_e4m3(sign ? -x : x) ^ sign; };
      wrong += rounded(middle) != (code % 2 ? code + 1 : code);
      wrong += rounded(std::nextafter(middle, 0.0f)) != code || rounded(std::nextafter(middle, 1000.0f)) != code + 1;
    }
  }
  failed += report(wrong == 0, "e4m3: to nearest, halves to even", std::to_string(wrong) + " wrong");
  const bool saturated = math::to_e4m3(449.0f) == 0x7e && math::to_e4m3(480.0f) == 0x7e && math::to_e4m3(-1e30f) == 0xfe &&
                         math::to_e4m3(INFINITY) == 0x7e;
  return failed + report(saturated, "e4m3: beyond 448 it is 448", "449, 480, -1e30, infinity");
}

int check_memory(const CudaOptions& options) {
  CudaOptions whole = options;
  whole.block_rows = 2048;
  whole.slots = 64;
  const auto backend = create_cuda_backend(whole);
  int failed = 0;
  for (const auto& [stored, name, most] : {std::tuple{Stored::bf16, "bf16", 20e9}, {Stored::nf4, "4 bits", 8e9}}) {
    const SyntheticModel model(falcon_mamba_7b(), stored, false);
    const MemoryPlan plan = plan_memory(model.checkpoint(), Quantize::none, *backend);
    failed += report(double(plan.total()) < most, std::string("memory of 7B in ") + name, plan.text());
  }
  return failed;
}

int check_allocations(const CudaOptions& options) {
  CudaOptions own = options;
  own.block_rows = 64;
  own.decode_rows = 8;
  own.slots = 6;
  const SyntheticModel synthetic(tiny_model(), Stored::int8);
  Model model(synthetic.checkpoint(), Quantize::none, create_cuda_backend(own));
  StatePool& states = model.states();
  const ModelConfig& config = model.config();
  const size_t before = model.backend().allocations();

  std::vector<int> slots;
  const auto open = [&] {
    slots.push_back(states.acquire());
    states.clear(slots.back());
  };
  const auto step = [&](int sequences, int tokens, Want want) {
    std::vector<StepItem> items(sequences);
    std::vector<Floats> outs(sequences, Floats(size_t(tokens) * config.vocab_size));
    std::vector<int32_t> ids(size_t(sequences) * tokens * 5);
    Floats logprobs(ids.size());
    for (int i = 0; i < sequences; ++i) {
      items[i].slot = slots[i];
      items[i].tokens.assign(tokens, i + 1);
      items[i].want = want;
      items[i].out = outs[i].data();
      items[i].targets.assign(tokens, 3);
      items[i].top = want == Want::sample || want == Want::logprobs ? 5 : 0;
      items[i].top_ids = ids.data() + size_t(i) * tokens * 5;
      items[i].top_logprobs = logprobs.data() + size_t(i) * tokens * 5;
      items[i].sampling.top_p = items[i].sampling.repetition_penalty = 1;
    }
    model.step(items);
  };
  for (int i = 0; i < own.slots; ++i) open();
  std::string refused;
  try {
    states.acquire();
  } catch (const EngineError& e) {
    refused = std::string(e.code) + ": " + e.what();
  }
  step(1, 100, Want::nothing);
  step(2, 9, Want::all_logits);
  step(1, 70, Want::logprobs);
  for (const int sequences : {1, 2, 3, 6}) step(sequences, 1, Want::sample);
  Floats conv(size_t(config.n_layer) * config.d_inner * (config.d_conv - 1)), ssm(size_t(config.n_layer) * config.d_inner * config.d_state);
  model.transfer().snapshot(slots[0], conv.data(), ssm.data(), [](std::exception_ptr) {});
  model.transfer().drain();
  model.release(slots.back());
  slots.back() = states.acquire();
  states.copy(slots[0], slots.back());
  model.release(slots[1]);
  slots[1] = states.acquire();
  model.transfer().restore(slots[1], conv.data(), ssm.data(), [](std::exception_ptr) {});
  model.transfer().drain();
  step(6, 1, Want::last_logits);
  for (const int slot : slots) states.release(slot);
  slots.clear();
  for (int i = 0; i < own.slots; ++i) open();

  const size_t after = model.backend().allocations();
  return report(before > 0 && after == before, "nothing is allocated after load", std::to_string(before) + " before, " + std::to_string(after - before) + " after") +
         report(refused.find("out_of_memory: all 6 ") == 0, "one session more than slots is refused", refused);
}

int check_model(const CudaOptions& options) {
  int failed = 0;
  struct Format {
    const char* name;
    Stored stored;
    Quantize quantize;
    double matched;  // how far off the logits may be where activations are rounded too
  };
  for (const auto& [format, stored, quantize, matched] : {Format{"bf16", Stored::bf16, Quantize::none, 0.3},
                                                          {"int8", Stored::int8, Quantize::none, 0.3},
                                                          {"nf4", Stored::nf4, Quantize::none, 0.3},
                                                          {"fp8", Stored::bf16, Quantize::fp8, 0.9}})
    for (const Activations activations : {Activations::f32, Activations::matched}) {
      const std::string name = std::string("model ") + format + (activations == Activations::f32 ? ", f32" : ", matched");
      const SyntheticModel synthetic(small_model(), stored);
      CudaOptions own = options;
      own.activations = activations;
      own.slots = 72;
      Reader cpu(synthetic.checkpoint(), quantize, create_cpu_backend(2, Isa::automatic, Activations::f32));
      Reader gpu(synthetic.checkpoint(), quantize, create_cuda_backend(own));
      const auto tokens = cpu.document(150);
      const Outcome expected = cpu.read(tokens, {}, 0), whole = gpu.read(tokens, {}, 0);
      const double off = std::max(farthest(whole.logits, expected.logits), farthest(whole.ssm, expected.ssm));
      char detail[64];
      std::snprintf(detail, sizeof detail, "%.2e from the CPU's f32", off);
      failed += report(off <= (activations == Activations::f32 ? 1e-3 : matched), name, detail);
      bool same = true;
      for (const auto& cuts : {std::vector<int>{64}, {2, 100, 45}, {149 - 2, 3}}) same &= gpu.read(tokens, cuts, 0) == whole;
      failed += report(same, name + ": the same bits however it is cut", "four cuts");
      same = true;
      for (const int others : {1, 6, 15, 65}) same &= gpu.read(tokens, {70}, others) == whole;
      failed += report(same, name + ": the same bits whoever shares its steps", "with 1, 6, 15 and 65 others");
      if (activations == Activations::f32) continue;
      own.overlap = false;
      Reader in_turn(synthetic.checkpoint(), quantize, create_cuda_backend(own));
      same = in_turn.read(tokens, {}, 0) == whole && in_turn.read(tokens, {70}, 15) == whole;
      failed += report(same, name + ": the same bits where no launch begins before the last has ended", "alone and with 15 others");
      if (activations == Activations::f32) continue;
      own.cublaslt = false;
      Reader alone(synthetic.checkpoint(), quantize, create_cuda_backend(own));
      const Outcome tiles = alone.read(tokens, {}, 0);
      const double apart = std::max(farthest(tiles.logits, expected.logits), farthest(tiles.ssm, expected.ssm));
      std::snprintf(detail, sizeof detail, "%.2e from the CPU's f32", apart);
      failed += report(apart <= matched, name + ", own products", detail);
      failed += report(alone.read(tokens, {2, 100, 45}, 15) == tiles, name + ", own products: the same bits however it is cut and shared", "");
    }
  return failed;
}

}  // namespace longhaul
