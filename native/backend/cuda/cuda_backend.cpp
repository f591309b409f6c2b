// The CUDA backend: stages what a block needs on the device, launches kernels in order on one stream, and repeats decode
// blocks from graphs recorded once for each padded number of rows.
//
// A decode block and its logits use linear_mma; other blocks use cuBLASLt where it keeps its promise (gemm.h) and linear_tiles
// elsewhere and for their logits. Which one a row meets depends on how it came, never on how many came with it.
#include <array>
#include <map>
#include <mutex>
#include <stdexcept>

#include "backend/backend.h"
#include "backend/cuda/fp8_scratch.h"
#include "backend/cuda/gemm.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/matrix.h"
#include "backend/cuda/shortlister.h"
#include "backend/cuda/staging.h"

namespace longhaul::cuda {
namespace {

constexpr size_t kTransferBytes = size_t(8) << 20, kStateBytes = size_t(1) << 20;

class StreamMark : public Mark {
 public:
  explicit StreamMark(Stream& stream) : stream_(stream) {}
  void set() override { event_.record(stream_); }
  void wait() override { event_.synchronize(); }

 private:
  Stream& stream_;
  Event event_;
};

class CudaBackend : public Backend {
 public:
  explicit CudaBackend(const CudaOptions& options)
      : options_(options),
        facts_((use_device(options.device), device_facts(options.device))),
        transfers_(kTransferBytes),
        snapshots_(kStateBytes),
        restores_(kStateBytes),
        staging_(options.block_rows),
        head_host_(allocate_pinned(head_bytes())),
        head_device_(allocate_device(head_bytes())),
        shortlister_(options.block_rows) {
    stream_.let_overlap(options.overlap);
    if (options.activations == Activations::matched && options.cublaslt)
      gemm_ = open_gemm(facts_, options.block_rows, transfers_, gemm_missing_);
  }

  std::string device() const override { return "cuda:" + std::to_string(options_.device); }
  std::string isa() const override { return facts_.architecture; }
  int threads() const override { return 1; }
  std::string note() const override { return gemm_missing_.empty() ? fp8_missing_ : gemm_missing_; }
  std::string products() const override {
    if (options_.activations == Activations::f32) return "";
    return gemm_ ? gemm_->identity() : "own";
  }
  Element activation_element() const override {
    return options_.activations == Activations::matched ? Element::bf16 : Element::f32;
  }
  int block_rows() const override { return options_.block_rows; }
  int decode_rows() const override { return options_.decode_rows; }
  // A plan counts what was taken here already.
  size_t free_bytes() const override { return device_facts(options_.device).free_bytes + workspace_bytes(); }
  size_t matrix_bytes(Dtype dtype, int rows, int cols) const override {
    const size_t cells = size_t(padded(rows)) * padded(cols);
    if (options_.activations == Activations::f32) return cells * 4;
    if (dtype == Dtype::int8 || dtype == Dtype::fp8) return cells + size_t(rows) * 4;
    return dtype == Dtype::code4 && cols % 64 == 0 ? cells / 2 + cells / 16 : cells * 2;
  }
  /** 256 rows of FalconMamba's vocabulary: lm_head is read eight times for a chunk of 2,048 that is scored. */
  size_t head_floats() const override { return size_t(16) << 20; }
  bool decodes_apart() const override { return true; }
  size_t workspace_bytes() const override {
    return staging_.bytes() + head_bytes() + shortlister_.bytes() + (gemm_ ? kGemmWorkspaceBytes : 0);
  }
  size_t scratch_bytes(Dtype dtype, int rows, int cols) const override {
    if (options_.activations == Activations::f32) return 0;
    if (dtype != Dtype::fp8 && dtype != Dtype::int8 && dtype != Dtype::code4) return 0;
    const int n_out = padded(rows), n_in = padded(cols);
    const size_t slab = size_t(slab_rows(n_in, n_out)) * n_in * 2;
    return dtype == Dtype::fp8 && has_fp8() ? std::max(slab, Fp8Scratch::bytes(options_.block_rows, n_in, n_out)) : slab;
  }
  int slab_slots(size_t) const override { return options_.slots; }
  bool adds_slabs() const override { return false; }
  size_t allocations() const override { return cuda::allocations(); }

  float* allocate(size_t floats) override {
    // Any thread.
    const std::lock_guard lock(allocating_);
    use_device(options_.device);
    DeviceMemory memory(allocate_device(floats * 4));
    zeroing_.zero(memory.get(), floats * 4);
    zeroing_.synchronize();
    return static_cast<float*>(memory.release());
  }
  void release(float* buffer) override { free_device(buffer); }
  // In the order of the work, done later.
  void zero(float* buffer, size_t floats) override {
    use_device(options_.device);
    stream_.zero(buffer, floats * 4);
  }
  void copy(float* to, const float* from, size_t floats) override {
    use_device(options_.device);
    stream_.copy(to, from, floats * 4);
  }
  void upload(float* to, const float* from, size_t floats) override {
    transfers().upload(to, from, floats * 4);
    transfers_.finish();
  }
  void download(float* to, const float* from, size_t floats) override { transfers().download(to, from, floats * 4); }

  bool transfers_beside() const override { return true; }
  std::unique_ptr<Mark> create_mark() override { return std::make_unique<StreamMark>(stream_); }
  void download_beside(float* to, const float* from, size_t floats) override {
    use_device(options_.device);
    snapshots_.download(to, from, floats * 4);
  }
  void upload_beside(float* to, const float* from, size_t floats) override {
    use_device(options_.device);
    restores_.upload(to, from, floats * 4);
    restores_.finish();
  }

  std::unique_ptr<Matrix> pack(const HostMatrix& host, const std::vector<int>& sections) override {
    use_device(options_.device);
    auto matrix = std::make_unique<DeviceMatrix>(host, sections, options_.activations, transfers_);
    transfers_.finish();
    const WeightView& view = matrix->view();
    if (view.dtype == Dtype::fp8 && gemm_ && !gemm_->has_fp8())
      fp8_missing_ = facts_.architecture + " has no products of fp8 (8.9 and later have): weights are expanded to bf16 to read";
    const size_t scratch = scratch_bytes(view.dtype, view.n_out, view.n_in);
    if (scratch > scratch_bytes_) {
      scratch_.reset();
      scratch_.reset(allocate_device(scratch));
      scratch_bytes_ = scratch;
    }
    return matrix;
  }
  std::unique_ptr<Matrix> pack_table(const HostMatrix& host) override {
    use_device(options_.device);
    auto table = std::make_unique<DeviceTable>(host, transfers_);
    transfers_.finish();
    return table;
  }

  void run_block(const Block& block, const std::function<void(int)>& ops) override {
    use_device(options_.device);
    const int rows = stage(block);
    in_block_ = true;
    decode_ = block.decode;
    try {
      if (!block.decode) {
        ops(rows);
      } else {
        stream_.run(graph(rows, ops));
      }
    } catch (...) {
      in_block_ = false;
      throw;
    }
    in_block_ = false;
    // The head's launches need not wait for a decode block to end, as far as the host is concerned.
    if (!block.decode) finish();
  }

  void finish() override {
    use_device(options_.device);
    wait();
  }

  void warm_up(float* idle_state, const std::function<void(const Block&, int)>& ops) override {
    idle_state_ = idle_state;
    Block block{false, {0, 0}, {{0, 2, idle_state}}};
    run_block(block, [&](int rows) { ops(block, rows); });
    block.decode = decode_ = true;
    for (int rows = 1; rows <= options_.decode_rows; rows *= 2) {
      block.tokens.assign(rows, 0);
      block.spans.clear();
      for (int row = 0; row < rows; ++row) block.spans.push_back({row, 1, idle_state});
      stage(block);
      in_block_ = true;
      graph(rows, [&](int n) { ops(block, n); });
      in_block_ = false;
      wait();
    }
  }

  void embed(const Matrix& table, const Block&, int rows, Rows out) override {
    const DeviceTable& stored = static_cast<const DeviceTable&>(table);
    cuda::embed(stream_, {stored.data(), stored.dtype(), stored.n_in, staging_.tokens(), out.data, out.ld}, rows);
  }

  void rms_norm(Rows x, const float* weight, int width, float eps, int rows, Rows out) override {
    cuda::rms_norm(stream_, {x.data, x.ld, weight, width, eps, typed(out)}, rows);
  }

  void convert(Rows x, int width, int rows, Rows out) override {
    cuda::convert(stream_, {x.data, x.ld, width, reinterpret_cast<uint16_t*>(out.data), out.ld}, rows);
  }

  void linear(const Matrix& w, const float* bias, Rows x, int rows, Rows out, bool accumulate) override {
    LinearArgs args{static_cast<const DeviceMatrix&>(w).view(), bias, typed(x), rows, typed(out), accumulate};
    if (args.w.dtype == Dtype::f32) return linear_f32(stream_, args);
    if (!in_block_ || decode_) return linear_mma(stream_, args);
    read_product(args);
    if (bias) add_bias(stream_, {bias, args.w.n_out, args.y}, rows);
  }

  void lm_head(const Matrix& w, Rows x, int rows, bool decode, Rows logits) override {
    const LinearArgs args{static_cast<const DeviceMatrix&>(w).view(), nullptr, typed(x), rows, typed(logits), false};
    if (args.w.dtype == Dtype::f32) return linear_f32(stream_, args);
    if (decode) return linear_mma(stream_, args);
    each_slab(args, [&](const LinearArgs& slab) { linear_tiles(stream_, slab); });
  }

  void causal_conv1d(const ConvWeights& w, int d_inner, Rows x, const Block&, size_t state_offset, Rows u) override {
    cuda::causal_conv1d(stream_, {w, padded(d_inner), typed(x), typed(u), staging_.spans(), staging_.tiles(), state_offset},
                        int(tiles_.size()), int(spans_.size()), long_spans_);
  }

  void selective_scan(const ScanWeights& w, int d_inner, Rows u, Rows dt, Rows b, Rows c, Rows z, const Block&,
                      size_t state_offset, Rows y) override {
    cuda::selective_scan(stream_,
                         {w, padded(d_inner), typed(u), typed(z), typed(y), dt.data, b.data, c.data, dt.ld, b.ld, c.ld,
                          staging_.spans(), state_offset},
                         int(spans_.size()));
  }

  void in_proj_conv(const Matrix& w, const float* bias, Rows normed, int rows, const ConvWeights& conv, int d_inner,
                    const Block& block, size_t state_offset, Rows xz, Rows u) override {
    const WeightView& view = static_cast<const DeviceMatrix&>(w).view();
    if (!block.decode || view.dtype == Dtype::f32 || conv.d_conv > kMostTaps)
      return Backend::in_proj_conv(w, bias, normed, rows, conv, d_inner, block, state_offset, xz, u);
    const LinearArgs linear{view, bias, typed(normed), rows, typed(xz), false};
    cuda::in_proj_conv(stream_, {linear, conv, padded(d_inner), staging_.spans(), state_offset, typed(u)});
  }

  void mixer_norms(const DtBC& p, int rows) override {
    if (!p.norms) return Backend::mixer_norms(p, rows);
    cuda::mixer_norms(stream_, {p.dt.data, p.b.data, p.c.data, p.dt.ld, p.dt_rank, p.d_state, p.eps, typed(p.dt_in), rows});
  }

  void dt_proj_scan(const DtBC& p, const Matrix& w, Rows delta, int rows, const ScanWeights& scan, int d_inner, Rows u, Rows z,
                    const Block& block, size_t state_offset, Rows y) override {
    const WeightView& view = static_cast<const DeviceMatrix&>(w).view();
    if (!block.decode || view.dtype == Dtype::f32 || padded(p.dt_rank) > kMostDtRank || p.d_state > kMostStates)
      return Backend::dt_proj_scan(p, w, delta, rows, scan, d_inner, u, z, block, state_offset, y);
    cuda::selective_state_update(stream_, {view, scan, padded(d_inner), rows, p.dt_rank, p.dt.data, p.b.data, p.c.data, p.dt.ld,
                                           p.norms, p.eps, typed(u), typed(z), typed(y), staging_.spans(), state_offset});
  }

  void gather(Rows x, const int* rows_wanted, int rows, int width, Rows out) override {
    if (head_sent_) wait();
    int32_t* const host = static_cast<int32_t*>(head_host_.get());
    int32_t* const device = static_cast<int32_t*>(head_device_.get());
    std::copy_n(rows_wanted, rows, host);
    stream_.copy(device, host, size_t(rows) * 4);
    head_sent_ = true;
    cuda::gather(stream_, {x.data, x.ld, device, width, out.data, out.ld}, rows);
  }

  bool shortlist(Rows logits, int vocab, std::vector<Shortlist>& wanted) override {
    const bool cut = shortlister_.run(stream_, logits, vocab, wanted);
    if (cut) staging_sent_ = head_sent_ = false;
    return cut;
  }

  void log_probs(Rows logits, int vocab, const ScoredRow* scored, int rows) override {
    if (head_sent_) wait();
    // (rows) each: targets, tops, log-probabilities; (rows, kMaxTop) each: ids, log-probabilities. Only what is read travels.
    const size_t n = size_t(rows), best = n * kMaxTop;
    int32_t* const host = static_cast<int32_t*>(head_host_.get());
    int32_t* const device = static_cast<int32_t*>(head_device_.get());
    for (int i = 0; i < rows; ++i) {
      host[i] = scored[i].target;
      host[n + i] = scored[i].top;
    }
    std::fill_n(host + 3 * n, best, -1);
    stream_.copy(device, host, (3 * n + best) * 4);
    float* const floats = reinterpret_cast<float*>(device);
    cuda::log_probs(stream_, {logits.data, logits.ld, vocab, device, device + n, floats + 2 * n, device + 3 * n, floats + 3 * n + best}, rows);
    stream_.copy(host + 2 * n, device + 2 * n, (n + 2 * best) * 4);
    wait();
    const float* const found = reinterpret_cast<const float*>(host);
    for (int i = 0; i < rows; ++i) {
      const ScoredRow& row = scored[i];
      if (row.target < 0) continue;
      *row.logprob = found[2 * n + i];
      for (int j = 0; j < row.top && host[3 * n + size_t(i) * kMaxTop + j] >= 0; ++j) {
        row.top_ids[j] = host[3 * n + size_t(i) * kMaxTop + j];
        row.top_logprobs[j] = found[3 * n + best + size_t(i) * kMaxTop + j];
      }
    }
  }

 private:
  size_t head_bytes() const { return size_t(options_.block_rows) * (3 + 2 * kMaxTop) * 4; }

  /** For all work; page-locked memory may be written again. */
  void wait() {
    stream_.synchronize();
    staging_sent_ = head_sent_ = false;
  }

  /** Sends the block's tokens, spans and tiles; a decode block is filled up with idle rows. Returns its rows. */
  int stage(const Block& block) {
    if (staging_sent_) wait();
    tokens_ = block.tokens;
    spans_ = block.spans;
    if (block.decode) {
      size_t rows = 1;
      while (rows < tokens_.size()) rows *= 2;
      while (tokens_.size() < rows) {
        spans_.push_back({int(tokens_.size()), 1, idle_state_});
        tokens_.push_back(0);
      }
    }
    tiles_.clear();
    long_spans_ = false;
    for (int s = 0; s < int(spans_.size()); ++s) {
      for (int first = 0; first < spans_[s].rows; first += kConvTileRows)
        tiles_.push_back({s, first, std::min(kConvTileRows, spans_[s].rows - first)});
      long_spans_ |= spans_[s].rows > kConvTileRows;
    }
    staging_.send(stream_, tokens_, spans_, tiles_);
    staging_sent_ = true;
    return int(tokens_.size());
  }

  /** What `ops` does for a decode block of so many rows, recorded once. */
  const Graph& graph(int rows, const std::function<void(int)>& ops) {
    auto graph = graphs_.find(rows);
    if (graph == graphs_.end()) graph = graphs_.emplace(rows, stream_.record([&] { ops(rows); })).first;
    return graph->second;
  }

  bool has_fp8() const { return gemm_ && gemm_->has_fp8(); }

  /** Of a block that is read, without bias. */
  void read_product(const LinearArgs& args) {
    if (args.w.dtype == Dtype::fp8 && has_fp8()) {
      const Fp8Scratch scratch(scratch_.get(), options_.block_rows, args.w.n_in);
      quantize_rows(stream_, {args.x, args.w.n_in, scratch.x, scratch.scales}, args.rows);
      if (gemm_->run_fp8(stream_, {args.w, scratch.x, scratch.scales, scratch.product, args.rows, args.y, args.accumulate})) return;
    }
    each_slab(args, [&](const LinearArgs& slab) {
      if (!gemm_ || !gemm_->run(stream_, slab)) linear_tiles(stream_, slab);
    });
  }

  /** Calls each(args) with bf16 weights: quantized ones are expanded by slabs of their rows, whose height is a matter of their shape. */
  template <class Each>
  void each_slab(LinearArgs args, const Each& each) {
    args.bias = nullptr;
    if (args.w.dtype == Dtype::bf16) return each(args);
    uint16_t* const expanded = static_cast<uint16_t*>(scratch_.get());
    const LinearArgs whole = args;
    const int step = slab_rows(whole.w.n_in, whole.w.n_out);
    for (int first = 0; first < whole.w.n_out; first += step) {
      const WeightView slab = rows_of(whole.w, first, std::min(step, whole.w.n_out - first));
      dequantize(stream_, slab, expanded);
      args.w = {Dtype::bf16, expanded, nullptr, nullptr, slab.n_in, slab.n_out, 0};
      args.y = columns_of(whole.y, first);
      each(args);
    }
  }

  Uploader& transfers() {
    use_device(options_.device);
    if (!in_block_) wait();
    return transfers_;
  }

  const CudaOptions options_;
  const DeviceFacts facts_;
  std::mutex allocating_;
  Stream stream_, zeroing_;
  Uploader transfers_, snapshots_, restores_;  // the engine's thread, and one each
  Staging staging_;
  PinnedMemory head_host_;
  DeviceMemory head_device_;
  Shortlister shortlister_;
  std::unique_ptr<Gemm> gemm_;
  std::string gemm_missing_;
  std::string fp8_missing_;
  DeviceMemory scratch_;  // of one product at a time: a slab of an expanded weight, or an Fp8Scratch
  size_t scratch_bytes_ = 0;
  float* idle_state_ = nullptr;  // of decode blocks, shared by rows that belong to no sequence
  std::map<int, Graph> graphs_;
  // Copies out of staging_'s and head_host_'s page-locked memory that may be under way.
  bool staging_sent_ = false, head_sent_ = false;
  // Of the block that runs.
  bool in_block_ = false, decode_ = false, long_spans_ = false;
  std::vector<int32_t> tokens_;
  std::vector<Span> spans_;
  std::vector<ConvTile> tiles_;
};

}  // namespace
}  // namespace longhaul::cuda

namespace longhaul {

std::unique_ptr<Backend> create_cuda_backend(const CudaOptions& options) {
  std::string reason;
  const int count = cuda::device_count(reason);
  if (count == 0) throw std::invalid_argument("cuda:" + std::to_string(options.device) + ": " + reason);
  if (options.device < 0 || options.device >= count)
    throw std::invalid_argument("cuda:" + std::to_string(options.device) + ": there are " + std::to_string(count) + " devices");
  return std::make_unique<cuda::CudaBackend>(options);
}

std::string probe_cuda() {
  std::string reason;
  if (cuda::device_count(reason) == 0) return reason;
  const cuda::DeviceFacts facts = cuda::device_facts(0);
  return facts.name + " (" + facts.architecture + ", " + std::to_string(facts.total_bytes >> 20) + " MiB)";
}

}  // namespace longhaul
