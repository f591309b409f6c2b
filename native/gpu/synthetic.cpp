#include "gpu/synthetic.h"

#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "backend/math/convert.h"

namespace longhaul {

ModelConfig falcon_mamba_7b() { return {65024, 64, 4096, 8192, 16, 4, 256, 1e-5f, 1e-6f, true}; }
ModelConfig tiny_model() { return {100, 2, 64, 128, 16, 4, 16, 1e-5f, 1e-6f, true}; }
ModelConfig small_model() { return {500, 3, 192, 384, 16, 4, 64, 1e-5f, 1e-6f, true}; }

namespace {

/** Kinds of values, each in a region of its own: offsets are filled in when all lengths are known. */
constexpr const char* kKinds[] = {"matrix", "int8", "nibbles", "scales8", "scales4", "one", "rate", "step", "filter"};

/** The first folder for passing files that has so much room, and some to spare. */
std::string folder_with_room(uint64_t bytes) {
  const char* const own = std::getenv("TMPDIR");
  std::string looked;
  for (const std::string& folder : {std::string(own ? own : ""), std::string("/tmp"), std::string("/dev/shm"), std::string(".")}) {
    struct statvfs found;
    if (folder.empty() || statvfs(folder.c_str(), &found) != 0) continue;
    const uint64_t room = uint64_t(found.f_bavail) * found.f_frsize;
    if (room > bytes + bytes / 8 && access(folder.c_str(), W_OK) == 0) return folder;
    looked += " " + folder + " (" + std::to_string(room >> 20) + " MiB)";
  }
  throw std::runtime_error("no folder has room for random weights of " + std::to_string(bytes >> 20) + " MiB:" + looked);
}

}  // namespace

SyntheticModel::SyntheticModel(const ModelConfig& config, Stored stored, bool with_file) : stored_(stored) {
  checkpoint_.config = config;
  for (const char* kind : kKinds) regions_.push_back({kind, 0});
  const ModelConfig& c = checkpoint_.config;
  const int mixed = c.dt_rank + 2 * c.d_state;
  add("embeddings", -1, c.vocab_size, c.d_model, "matrix");
  for (int i = 0; i < c.n_layer; ++i) {
    add("norm", i, c.d_model, 1, "one");
    add("in_proj", i, 2 * c.d_inner, c.d_model, "projection");
    add("conv1d", i, c.d_inner, c.d_conv, "filter");
    add("conv1d_bias", i, c.d_inner, 1, "filter");
    add("x_proj", i, mixed, c.d_inner, "projection");
    add("dt_proj", i, c.d_inner, c.dt_rank, "projection");
    add("dt_proj_bias", i, c.d_inner, 1, "step");
    add("A_log", i, c.d_inner, c.d_state, "rate");
    add("D", i, c.d_inner, 1, "one");
    add("out_proj", i, c.d_model, c.d_inner, "projection");
  }
  add("norm_f", -1, c.d_model, 1, "one");
  add("lm_head", -1, c.vocab_size, c.d_model, "matrix");
  if (with_file) write();
}

SyntheticModel::~SyntheticModel() {
  if (!path_.empty()) unlink(path_.c_str());
}

/** Offsets hold the kind's number until `write` knows where its region lies. */
StoredRange SyntheticModel::region(uint64_t bytes, const std::string& kind) {
  for (size_t i = 0; i < regions_.size(); ++i)
    if (regions_[i].first == kind) {
      regions_[i].second = std::max(regions_[i].second, bytes);
      return {0, i, bytes};
    }
  throw std::logic_error(kind);
}

void SyntheticModel::add(const char* role, int layer, int rows, int cols, const char* kind) {
  const uint64_t n = uint64_t(rows) * cols;
  TensorSource t{role, layer, Dtype::f32, 0, 0, 0, rows, cols, {}};
  StoredRange range;
  if (std::string(kind) == "projection" && stored_ == Stored::int8) {
    t.dtype = t.quantization.dtype = Dtype::int8;
    t.quantization.scales = region(4 * uint64_t(rows), "scales8");
    range = region(n, "int8");
  } else if (std::string(kind) == "projection" && stored_ == Stored::nf4) {
    t.dtype = t.quantization.dtype = Dtype::code4;
    t.quantization.block_size = kNf4Block;
    t.quantization.code.assign(kNf4, kNf4 + 16);
    t.quantization.scales = region(4 * ((n + kNf4Block - 1) / kNf4Block), "scales4");
    range = region((n + 1) / 2, "nibbles");
  } else if (std::string(kind) == "projection" || std::string(kind) == "matrix") {
    t.dtype = Dtype::bf16;
    range = region(2 * n, "matrix");
  } else {
    range = region(4 * n, kind);
  }
  t.offset = range.offset;
  t.bytes = range.bytes;
  checkpoint_.tensors.push_back(std::move(t));
}

void SyntheticModel::write() {
  uint64_t whole = 0;
  for (const auto& [kind, bytes] : regions_) whole += bytes;
  std::string name = folder_with_room(whole) + "/longhaul-synthetic-XXXXXX";
  const int fd = mkstemp(name.data());
  if (fd < 0) throw std::runtime_error("cannot make " + name);
  path_ = name;
  checkpoint_.files = {path_};
  std::FILE* const file = fdopen(fd, "wb");
  uint32_t random = 2463534242u;
  const auto next = [&] {
    random ^= random << 13, random ^= random >> 17, random ^= random << 5;
    return random;
  };
  const auto uniform = [&](float low, float high) { return low + (high - low) * float(next() >> 8) * 0x1p-24f; };
  const float spread = 1.5f / std::sqrt(float(checkpoint_.config.d_model));
  std::vector<uint64_t> offsets;
  uint64_t end = 0;
  for (const auto& [kind, bytes] : regions_) {
    offsets.push_back(end);
    std::vector<uint8_t> out(bytes);
    const auto floats = [&](auto value) {
      for (uint64_t i = 0; i + 4 <= bytes; i += 4) {
        const float x = value();
        std::memcpy(&out[i], &x, 4);
      }
    };
    if (kind == "matrix")
      for (uint64_t i = 0; i + 2 <= bytes; i += 2) {
        const uint16_t x = math::to_bf16(uniform(-spread, spread));
        std::memcpy(&out[i], &x, 2);
      }
    else if (kind == "int8" || kind == "nibbles")
      for (uint8_t& byte : out) byte = uint8_t(next() >> 16);
    else if (kind == "scales8")
      floats([&] { return uniform(0.5f, 1.0f) * spread; });  // read as SCB: divided by 127
    else if (kind == "scales4")
      floats([&] { return uniform(0.5f, 1.0f) * spread; });
    else if (kind == "one")
      floats([&] { return uniform(0.8f, 1.2f); });
    else if (kind == "rate")
      floats([&] { return std::log(uniform(1.0f, 16.0f)); });
    else if (kind == "step")
      floats([&] { return uniform(-6.0f, -2.0f); });
    else
      floats([&] { return uniform(-0.5f, 0.5f); });
    if (std::fwrite(out.data(), 1, out.size(), file) != out.size()) throw std::runtime_error("cannot write " + path_);
    end += bytes;
  }
  std::fclose(file);
  for (TensorSource& t : checkpoint_.tensors) {
    t.offset = offsets[t.offset];
    if (t.quantization.dtype == Dtype::int8 || t.quantization.dtype == Dtype::code4)
      t.quantization.scales.offset = offsets[t.quantization.scales.offset];
  }
}

}  // namespace longhaul
