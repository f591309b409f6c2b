#include "engine/weights.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <map>
#include <utility>

#include "backend/math/convert.h"
#include "backend/math/scan_step.h"
#include "engine/error.h"

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
  Loader(const Checkpoint& checkpoint, Backend& backend) : c_(checkpoint.config), backend_(backend) {
    for (const std::string& path : checkpoint.files) files_.emplace_back(path);
    for (const TensorSource& t : checkpoint.tensors) tensors_[{t.role, t.layer}] = &t;
  }

  Weights load() {
    Weights w;
    w.embeddings = backend_.pack_table(host("embeddings", -1));
    w.lm_head = backend_.pack(host(has("lm_head", -1) ? "lm_head" : "embeddings", -1), {c_.vocab_size});
    w.norm_f = vector("norm_f", -1, {c_.d_model});
    for (int i = 0; i < c_.n_layer; ++i) w.layers.push_back(layer(i));
    return w;
  }

 private:
  LayerWeights layer(int i) {
    LayerWeights w;
    w.norm = vector("norm", i, {c_.d_model});
    w.in_proj = backend_.pack(host("in_proj", i), {c_.d_inner, c_.d_inner});
    if (has("in_proj_bias", i)) w.in_proj_bias = vector("in_proj_bias", i, {c_.d_inner, c_.d_inner});
    w.conv_weight = by_channel("conv1d", i, [&](int channel, int k) { return size_t(k) * padded(c_.d_inner) + channel; });
    w.conv_bias = has("conv1d_bias", i) ? vector("conv1d_bias", i, {c_.d_inner}) : Buffer(backend_, padded(c_.d_inner));
    w.x_proj = backend_.pack(host("x_proj", i), {c_.dt_rank, c_.d_state, c_.d_state});
    w.dt_proj = backend_.pack(host("dt_proj", i), {c_.d_inner});
    w.dt_bias = vector("dt_proj_bias", i, {c_.d_inner});
    w.a_log2e = by_channel(
        "A_log", i, [&](int channel, int n) { return state_index(channel, n, c_.d_state); },
        [](float x) { return float(-exp_fixed(x) * math::kLog2E); });
    w.d = vector("D", i, {c_.d_inner});
    w.out_proj = backend_.pack(host("out_proj", i), {c_.d_model});
    if (has("out_proj_bias", i)) w.out_proj_bias = vector("out_proj_bias", i, {c_.d_model});
    return w;
  }

  bool has(const char* role, int layer) const { return tensors_.count({role, layer}) > 0; }

  /** The tensor's bytes, valid until the next call. */
  HostMatrix host(const char* role, int layer) {
    const auto found = tensors_.find({role, layer});
    if (found == tensors_.end())
      throw EngineError("model_incomplete", std::string(role) + " of layer " + std::to_string(layer) + " is missing");
    const TensorSource& t = *found->second;
    const uint64_t expected = uint64_t(t.rows) * uint64_t(t.cols) * (t.dtype == Dtype::f32 ? 4 : 2);
    if (t.bytes != expected) throw EngineError("model_corrupt", t.role + " has the wrong length");
    bytes_.resize(t.bytes);
    files_.at(size_t(t.file)).read(t.offset, t.bytes, bytes_.data());
    return {bytes_.data(), t.dtype, t.rows, t.cols};
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
  Backend& backend_;
  std::vector<File> files_;
  std::map<std::pair<std::string, int>, const TensorSource*> tensors_;
  std::vector<char> bytes_;
};

}  // namespace

Weights load_weights(const Checkpoint& checkpoint, Backend& backend) { return Loader(checkpoint, backend).load(); }

}  // namespace longhaul
