// A tiny checkpoint of any formats and any bytes, as the addon would hand it over, and a program of steps on it.
//
// What TypeScript guarantees is kept: shapes that fit each other, token ids in the vocabulary, settings of sampling in
// their ranges. What C++ checks itself is not: offsets and lengths of tensors and scales, missing tensors, short files,
// tables of codes, and every value of weights and states.
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <memory>
#include <stdexcept>

#include "backend/cpu/cpu_features.h"
#include "engine/error.h"
#include "engine/model.h"
#include "fuzz/input.h"

namespace longhaul::fuzz {
namespace {

/** An unnamed file with the given bytes. */
class MemoryFile {
 public:
  explicit MemoryFile(const std::vector<uint8_t>& bytes) : fd_(memfd_create("fuzz", 0)) {
    if (fd_ < 0 || write(fd_, bytes.data(), bytes.size()) != ssize_t(bytes.size())) std::abort();
  }
  ~MemoryFile() { close(fd_); }
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  const int fd_;
};

/** Lays tensors out one after another in a file whose content the input decides. */
class CheckpointMaker {
 public:
  explicit CheckpointMaker(Input& input) : in_(input) {}

  Checkpoint make() {
    ModelConfig& c = checkpoint_.config;
    c = {in_.between(1, 40), in_.between(1, 2),  in_.between(1, 40), in_.between(1, 48), in_.between(1, 20),
         in_.between(1, 5),  in_.between(1, 24), 1e-5f,              1e-6f,              in_.flag()};
    add("embeddings", -1, c.vocab_size, c.d_model, false);
    for (int i = 0; i < c.n_layer; ++i) {
      add("norm", i, c.d_model, 1, false);
      add("in_proj", i, 2 * c.d_inner, c.d_model, true);
      if (in_.flag()) add("in_proj_bias", i, 2 * c.d_inner, 1, false);
      add("conv1d", i, c.d_inner, c.d_conv, false);
      if (in_.flag()) add("conv1d_bias", i, c.d_inner, 1, false);
      add("x_proj", i, c.dt_rank + 2 * c.d_state, c.d_inner, true);
      add("dt_proj", i, c.d_inner, c.dt_rank, true);
      add("dt_proj_bias", i, c.d_inner, 1, false);
      add("A_log", i, c.d_inner, c.d_state, false);
      add("D", i, c.d_inner, 1, false);
      add("out_proj", i, c.d_model, c.d_inner, true);
      if (in_.flag()) add("out_proj_bias", i, c.d_model, 1, false);
    }
    add("norm_f", -1, c.d_model, 1, false);
    if (in_.flag()) add("lm_head", -1, c.vocab_size, c.d_model, true);
    return std::move(checkpoint_);
  }

  /** Mostly moderate numbers in whatever type is read, with the input's own bytes strewn in. */
  std::vector<uint8_t> bytes() {
    std::vector<uint8_t> out(end_);
    uint32_t x = in_.raw<uint32_t>() | 1;
    for (uint8_t& byte : out) {
      x = x * 1664525 + 1013904223;
      byte = uint8_t(x >> 24);
    }
    // The upper byte of every 16-bit word near 1: bf16 and fp32 read as about -1 to 1.
    if (in_.flag())
      for (size_t i = 1; i < out.size(); i += 2) out[i] = uint8_t((out[i] & 0x80) | 0x3d | (out[i] & 2));
    while (!in_.empty() && !out.empty()) {
      const size_t at = in_.raw<uint32_t>() % out.size();
      for (int n = in_.byte() % 8, i = 0; i <= n && at + i < out.size(); ++i) out[at + i] = in_.byte();
    }
    if (cut_) out.resize(out.size() / 2);
    return out;
  }

 private:
  StoredRange range(uint64_t bytes) {
    StoredRange out{0, end_, bytes};
    end_ += bytes;
    if (hostile()) out.offset = in_.raw<uint64_t>() >> 2;
    if (hostile()) out.bytes = in_.raw<uint16_t>();
    return out;
  }
  bool hostile() { return in_.byte() == 255; }

  void add(const char* role, int layer, int rows, int cols, bool quantizable) {
    if (hostile()) return;
    const uint64_t n = uint64_t(rows) * cols;
    TensorSource t{role, layer, std::array{Dtype::f32, Dtype::f16, Dtype::bf16}[in_.byte() % 3], 0, 0, 0, rows, cols, {}};
    Quantization& q = t.quantization;
    const int format = quantizable ? in_.byte() % 5 : 0;
    uint64_t size = n * (t.dtype == Dtype::f32 ? 4 : 2);
    if (format == 1) {
      q.dtype = Dtype::int8;
      size = n;
      q.scales = range(4 * rows);
    } else if (format > 1) {
      q.dtype = Dtype::code4;
      size = (n + 1) / 2;
      q.block_size = hostile() ? in_.between(-2, 100) : 32 << in_.byte() % 8;
      // Finite and at most 1e6, as native/quantization.ts makes sure.
      for (int i = 0; i < (hostile() ? 3 : 16); ++i) q.code.push_back(float(in_.raw<int16_t>()) / (1 << in_.byte() % 16));
      const uint64_t blocks = (n + std::max(q.block_size, 1) - 1) / std::max(q.block_size, 1);
      q.scales = range(format == 2 ? 4 * blocks : blocks);
      if (format > 2) {
        q.nested_block_size = 256;
        q.nested_scales = range(4 * ((blocks + 255) / 256));
        q.nested_map.assign(256, float(in_.raw<int8_t>()) / 64);
        q.nested_offset = float(in_.raw<int8_t>());
      }
    }
    const StoredRange where = range(size);
    t.offset = where.offset;
    t.bytes = where.bytes;
    cut_ |= hostile();
    checkpoint_.tensors.push_back(std::move(t));
  }

  Input& in_;
  Checkpoint checkpoint_;
  uint64_t end_ = 0;
  bool cut_ = false;
};

Isa isa_of(uint8_t choice) {
  std::vector<Isa> here;
  for (const Isa isa : {Isa::portable, Isa::avx2, Isa::avx512, Isa::avx512vnni, Isa::avx512bf16})
    if (cpu::has_isa(isa)) here.push_back(isa);
  return here[choice % here.size()];
}

Sampling sampling_of(Input& in, int vocab) {
  Sampling s{};
  s.temperature = float(in.byte()) / 64;
  s.top_k = in.between(0, vocab);
  s.top_p = float(1 + in.byte()) / 256;
  s.min_p = float(in.byte()) / 256;
  s.repetition_penalty = float(1 + in.byte()) / 64;
  for (int n = in.byte() % 4; n > 0; --n) s.penalized.push_back(in.between(0, vocab - 1));
  for (int n = in.byte() % 4; n > 0; --n) {
    s.bias_ids.push_back(in.between(0, vocab - 1));
    s.biases.push_back(float(in.raw<int8_t>()) * 100 / 128);
  }
  s.seed = in.raw<uint64_t>();
  s.position = in.raw<uint32_t>();
  return s;
}

/** Items on distinct sessions, with room for whatever they want. */
void step(Input& in, Model& model, const std::vector<int>& slots) {
  const int vocab = model.config().vocab_size;
  std::vector<StepItem> items;
  std::vector<std::vector<float>> floats;
  std::vector<std::vector<int32_t>> ids;
  for (const int slot : slots) {
    if (in.flag()) continue;
    StepItem item{};
    item.slot = slot;
    const int length = in.byte() == 0 ? in.between(1, 900) : in.between(1, 20);
    for (int i = 0; i < length; ++i) item.tokens.push_back(in.between(0, vocab - 1));
    item.want = Want(in.byte() % 5);
    item.top = in.byte() % std::min(vocab + 1, 21);
    if (item.want == Want::sample) item.sampling = sampling_of(in, vocab);
    if (item.want == Want::logprobs)
      for (int i = 0; i < length; ++i) item.targets.push_back(in.between(-1, vocab - 1));
    floats.emplace_back(size_t(length) * vocab);
    item.out = floats.back().data();
    floats.emplace_back(size_t(length) * 20);
    item.top_logprobs = floats.back().data();
    ids.emplace_back(size_t(length) * 20);
    item.top_ids = ids.back().data();
    items.push_back(std::move(item));
  }
  if (!items.empty()) model.step(items);
}

void program(Input& in, Model& model) {
  const ModelConfig& c = model.config();
  std::vector<int> slots;
  std::vector<float> conv(size_t(c.n_layer) * c.d_inner * (c.d_conv - 1)), ssm(size_t(c.n_layer) * c.d_inner * c.d_state);
  for (int i = 0; i < 8; ++i) {
    const int action = in.byte() % 6;
    if (slots.empty() || action == 0) {
      slots.push_back(model.states().acquire());
      model.states().clear(slots.back());
    } else if (action == 1) {
      slots.push_back(model.states().acquire());
      model.states().copy(slots[0], slots.back());
    } else if (action == 2) {
      model.states().snapshot(slots.back(), conv.data(), ssm.data());
      if (!ssm.empty()) ssm[in.raw<uint16_t>() % ssm.size()] = in.raw<float>();
      model.states().restore(slots[0], conv.data(), ssm.data());
    } else if (action == 3) {
      model.states().release(slots.back());
      slots.pop_back();
    } else {
      step(in, model, slots);
    }
  }
}

}  // namespace

void run(Input input) {
  const Isa isa = isa_of(input.byte());
  const Activations activations = input.flag() ? Activations::matched : Activations::f32;
  const Quantize to = std::array{Quantize::none, Quantize::int8, Quantize::nf4}[input.byte() % 3];
  // Two choices streams: the program must not move when the weights' bytes do.
  CheckpointMaker maker(input);
  Checkpoint checkpoint = maker.make();
  std::vector<uint8_t> choices(96);
  for (uint8_t& choice : choices) choice = input.byte();
  const MemoryFile file(maker.bytes());
  checkpoint.files = {file.path()};
  try {
    Model model(checkpoint, to, create_cpu_backend(1 + choices[0] % 2, isa, activations));
    Input in(choices.data() + 1, choices.size() - 1);
    program(in, model);
  } catch (const EngineError&) {
  }
}

}  // namespace longhaul::fuzz
