#include "engine/weights.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <utility>

#include "backend/math/convert.h"
#include "backend/math/scan_step.h"
#include "engine/error.h"
#include "engine/read_ahead.h"

namespace longhaul {
namespace {

/** Read with pread rather than mapped: a file that shrinks under us is an error, not a signal. */
class File {
 public:
  explicit File(const std::string& path) : path_(path), fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (fd_ < 0) throw EngineError("model_incomplete", "cannot open " + path + ": " + std::strerror(errno));
  }
  File(File&& other) noexcept : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  /** Any thread. */
  void read(uint64_t offset, uint64_t bytes, char* out) const {
    for (uint64_t done = 0; done < bytes;) {
      const ssize_t n = pread(fd_, out + done, bytes - done, off_t(offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) throw EngineError("model_corrupt", "cannot read " + path_ + ": " + std::strerror(errno));
      if (n == 0)
        throw EngineError("model_corrupt", path_ + " ends at byte " + std::to_string(offset + done) +
                                               ", a tensor goes on to byte " + std::to_string(offset + bytes));
      done += uint64_t(n);
    }
  }

 private:
  std::string path_;
  int fd_;
};

/** e^x in double from fma alone: the same bits on every machine, unlike the C library's. Good to 1e-15. */
double exp_fixed(double x) {
  if (!(std::fabs(x) < 700.0)) return std::exp(x);  // infinities and NaN
  const double n = std::nearbyint(x * math::kLog2E);
  const double r = std::fma(n, -1.90821492927058770002e-10, std::fma(n, -6.93147180369123816490e-01, x));
  double p = 1.0;
  for (int k = 18; k >= 1; --k) p = std::fma(p, r / k, 1.0);
  return std::ldexp(p, int(n));
}

class Loader {
 public:
  Loader(const Checkpoint& checkpoint, Quantize quantize, Backend& backend)
      : c_(checkpoint.config), quantize_(quantize), backend_(backend), arrivals_(checkpoint.arrivals) {
    for (const std::string& path : checkpoint.files) files_.emplace_back(path);
    for (const TensorSource& t : checkpoint.tensors) tensors_[{t.role, t.layer}] = &t;
  }

  Weights load() {
    Weights w;
    w.layers.resize(size_t(c_.n_layer));
    std::vector<Step> steps = all(w);
    std::stable_sort(steps.begin(), steps.end(), [](const Step& a, const Step& b) {
      return std::pair(a.source.file, a.source.offset) < std::pair(b.source.file, b.source.offset);
    });
    std::vector<ReadAhead::Range> order;
    for (const Step& step : steps)
      if (step.stored) order.push_back(step.source);
    ahead_ = std::make_unique<ReadAhead>(std::move(order), [this](int file, uint64_t offset, uint64_t bytes, char* out) {
      read(file, offset, bytes, out);
    });
    for (const Step& step : steps) step.run();
    return w;
  }

 private:
  /** Reads one tensor and packs it into its place. One that is not stored says so when it runs, or is made of nothing. */
  struct Step {
    ReadAhead::Range source{0, 0, 0};
    bool stored = false;
    std::function<void()> run;
  };

  std::vector<Step> all(Weights& w) {
    std::vector<Step> steps;
    const auto add = [&](const char* role, int layer, std::function<void()> run) {
      Step step;
      const auto found = tensors_.find({role, layer});
      step.stored = found != tensors_.end();
      if (step.stored) step.source = {found->second->file, found->second->offset, found->second->bytes};
      step.run = std::move(run);
      steps.push_back(std::move(step));
    };
    add("embeddings", -1, [&] { w.embeddings = backend_.pack_table(host("embeddings", -1)); });
    const char* const head = has("lm_head", -1) ? "lm_head" : "embeddings";
    // Quantized at load, the head is int8 either way: what it is worth to the result is far more than what it weighs.
    add(head, -1, [&, head] {
      w.lm_head = packed(head, -1, {c_.vocab_size}, quantize_ == Quantize::none ? Quantize::none : Quantize::int8);
    });
    add("norm_f", -1, [&] { w.norm_f = vector("norm_f", -1, {c_.d_model}); });
    for (int i = 0; i < c_.n_layer; ++i) {
      LayerWeights& l = w.layers[size_t(i)];
      const std::vector<int> halves{c_.d_inner, c_.d_inner};  // x | z
      add("norm", i, [this, &l, i] { l.norm = vector("norm", i, {c_.d_model}); });
      add("in_proj", i, [this, &l, i, halves] { l.in_proj = packed("in_proj", i, halves, quantize_); });
      if (has("in_proj_bias", i)) add("in_proj_bias", i, [this, &l, i, halves] { l.in_proj_bias = vector("in_proj_bias", i, halves); });
      add("conv1d", i, [this, &l, i] {
        l.conv_weight = by_channel("conv1d", i, [&](int channel, int k) { return size_t(k) * padded(c_.d_inner) + channel; });
      });
      add("conv1d_bias", i, [this, &l, i] {
        l.conv_bias = has("conv1d_bias", i) ? vector("conv1d_bias", i, {c_.d_inner}) : Buffer(backend_, padded(c_.d_inner));
      });
      add("x_proj", i, [this, &l, i] { l.x_proj = packed("x_proj", i, {c_.dt_rank, c_.d_state, c_.d_state}, quantize_); });
      add("dt_proj", i, [this, &l, i] { l.dt_proj = packed("dt_proj", i, {c_.d_inner}, quantize_); });
      add("dt_proj_bias", i, [this, &l, i] { l.dt_bias = vector("dt_proj_bias", i, {c_.d_inner}); });
      add("A_log", i, [this, &l, i] {
        l.a_log2e = by_channel(
            "A_log", i, [&](int channel, int n) { return state_index(channel, n, c_.d_state); },
            [](float x) { return float(-exp_fixed(x) * math::kLog2E); });
      });
      add("D", i, [this, &l, i] { l.d = vector("D", i, {c_.d_inner}); });
      add("out_proj", i, [this, &l, i] { l.out_proj = packed("out_proj", i, {c_.d_model}, quantize_); });
      if (has("out_proj_bias", i)) add("out_proj_bias", i, [this, &l, i] { l.out_proj_bias = vector("out_proj_bias", i, {c_.d_model}); });
    }
    return steps;
  }

  /** Any thread. */
  void read(int file, uint64_t offset, uint64_t bytes, char* out) const {
    if (arrivals_) arrivals_->wait(size_t(file), offset, bytes);
    files_.at(size_t(file)).read(offset, bytes, out);
  }

  bool has(const char* role, int layer) const { return tensors_.count({role, layer}) > 0; }

  /** Packs a linear weight as stored, or quantized where it is stored in floating point. */
  std::unique_ptr<Matrix> packed(const char* role, int layer, const std::vector<int>& sections, Quantize to) {
    const HostMatrix stored = host(role, layer);
    if (to == Quantize::none || stored.dtype == Dtype::int8 || stored.dtype == Dtype::code4) return backend_.pack(stored, sections);
    try {
      return backend_.pack(quantize(stored, to).matrix, sections);
    } catch (const EngineError& e) {
      throw EngineError(e.code, std::string(role) + " of layer " + std::to_string(layer) + ": " + e.what());
    }
  }

  /** The tensor's bytes, valid until the next call. */
  HostMatrix host(const char* role, int layer) {
    const auto found = tensors_.find({role, layer});
    if (found == tensors_.end())
      throw EngineError("model_incomplete", std::string(role) + " of layer " + std::to_string(layer) + " is missing");
    const TensorSource& t = *found->second;
    const Quantization& q = t.quantization;
    const uint64_t n = uint64_t(t.rows) * uint64_t(t.cols);
    const uint64_t expected = q.dtype == Dtype::int8 ? n : q.dtype == Dtype::code4 ? (n + 1) / 2 : n * (t.dtype == Dtype::f32 ? 4 : 2);
    if (t.bytes != expected) throw EngineError("model_corrupt", t.role + " has the wrong length");
    const char* const bytes = ahead_->take({t.file, t.offset, t.bytes});
    if (q.dtype == Dtype::int8) {
      scales_ = floats(t, q.scales, t.rows);
      for (float& scale : scales_) scale /= 127.0f;
      return {bytes, Dtype::int8, t.rows, t.cols, scales_.data()};
    }
    if (q.dtype == Dtype::code4) {
      read_block_scales(t, n);
      return {bytes, Dtype::code4, t.rows, t.cols, scales_.data(), q.code.data(), q.block_size};
    }
    return {bytes, t.dtype, t.rows, t.cols};
  }

  /** scales_ of a code4 tensor of n values; nested ones are multiplied out, half a bit a weight. */
  void read_block_scales(const TensorSource& t, uint64_t n) {
    const Quantization& q = t.quantization;
    if (q.block_size < 1 || q.code.size() != 16) throw EngineError("model_corrupt", t.role + " has no usable quantization");
    const uint64_t blocks = (n + q.block_size - 1) / q.block_size;
    if (q.nested_block_size == 0) {
      scales_ = floats(t, q.scales, blocks);
      return;
    }
    if (q.scales.bytes != blocks || q.nested_map.size() != 256 || q.nested_block_size < 1)
      throw EngineError("model_corrupt", t.role + " has no usable nested quantization");
    const std::vector<float> outer = floats(t, q.nested_scales, (blocks + q.nested_block_size - 1) / q.nested_block_size);
    std::vector<uint8_t> inner(blocks);
    read(q.scales.file, q.scales.offset, blocks, reinterpret_cast<char*>(inner.data()));
    scales_.resize(blocks);
    for (uint64_t i = 0; i < blocks; ++i) scales_[i] = q.nested_map[inner[i]] * outer[i / q.nested_block_size] + q.nested_offset;
  }

  /** `n` finite fp32 values beside a tensor. */
  std::vector<float> floats(const TensorSource& t, const StoredRange& range, uint64_t n) {
    if (range.bytes != n * 4) throw EngineError("model_corrupt", "the scales of " + t.role + " have the wrong length");
    std::vector<float> out(n);
    read(range.file, range.offset, range.bytes, reinterpret_cast<char*>(out.data()));
    for (uint64_t i = 0; i < n; ++i)
      if (!std::isfinite(out[i]))
        throw EngineError("model_corrupt", "scale " + std::to_string(i) + " of " + t.role + " of layer " + std::to_string(t.layer) +
                                               " is not a finite number");
    return out;
  }

  /** A vector as fp32, each section padded. */
  Buffer vector(const char* role, int layer, const std::vector<int>& sections) {
    const HostMatrix m = host(role, layer);
    std::vector<float> values;
    size_t next = 0;
    for (const int n : sections) {
      for (int i = 0; i < padded(n); ++i) values.push_back(i < n ? math::element(m.data, m.dtype, next + i) : 0.0f);
      next += n;
    }
    return uploaded(values);
  }

  /** (d_inner, n) as fp32, element (channel, k) at index(channel, k): neighbouring channels become neighbours in memory. */
  template <class Index>
  Buffer by_channel(const char* role, int layer, const Index& index, float (*map)(float) = [](float x) { return x; }) {
    const HostMatrix m = host(role, layer);
    std::vector<float> values(size_t(padded(m.rows)) * m.cols);
    for (int r = 0; r < m.rows; ++r)
      for (int k = 0; k < m.cols; ++k) values[index(r, k)] = map(math::element(m.data, m.dtype, size_t(r) * m.cols + k));
    return uploaded(values);
  }

  Buffer uploaded(const std::vector<float>& values) {
    Buffer buffer(backend_, values.size());
    backend_.upload(buffer.data, values.data(), values.size());
    return buffer;
  }

  const ModelConfig& c_;
  const Quantize quantize_;
  Backend& backend_;
  const std::shared_ptr<Arrivals> arrivals_;  // or null
  std::vector<File> files_;
  std::map<std::pair<std::string, int>, const TensorSource*> tensors_;
  std::vector<float> scales_;
  std::unique_ptr<ReadAhead> ahead_;  // last: its thread reads the files
};

}  // namespace

Weights load_weights(const Checkpoint& checkpoint, Quantize quantize, Backend& backend) {
  return Loader(checkpoint, quantize, backend).load();
}

}  // namespace longhaul
