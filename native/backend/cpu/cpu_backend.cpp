// The CPU backend: cuts each op into tiles, runs them on the pool, and leaves the arithmetic to a kernel table.
//
// No result depends on how an op is cut: every kernel computes each output element alone, in a fixed order.
#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "backend/cpu/cpu_features.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/packed_matrix.h"
#include "backend/cpu/thread_pool.h"

namespace longhaul::cpu {
namespace {

Kernels kernels_of([[maybe_unused]] Isa isa) {
#if defined(LONGHAUL_X86)
  if (isa == Isa::avx2) return kAvx2Kernels;
  if (isa != Isa::portable) {
    Kernels kernels = kAvx512Kernels;
    if (isa != Isa::avx512) kernels.linear_int8 = avx512vnni::linear_int8;
    if (isa == Isa::avx512bf16) kernels.linear_bf16 = avx512bf16::linear_bf16;
    return kernels;
  }
#endif
  return kPortableKernels;
}

constexpr int ceil_div(int a, int b) { return (a + b - 1) / b; }

class CpuBackend : public Backend {
 public:
  CpuBackend(int threads, Isa isa, Activations activations)
      : isa_(isa), activations_(activations), kernels_(kernels_of(isa)), pool_(threads) {}

  std::string device() const override { return "cpu"; }
  std::string isa() const override { return isa_name(isa_); }
  int threads() const override { return pool_.threads(); }
  int block_rows() const override { return kBlockRows; }
  size_t matrix_bytes(Dtype dtype, int rows, int cols) const override {
    const size_t cells = size_t(padded(rows)) * padded(cols);
    return dtype == Dtype::f32 || dtype == Dtype::fp8 ? cells * 4 : dtype == Dtype::int8 ? cells : dtype == Dtype::code4 ? cells / 2 + cells / 16 : cells * 2;
  }
  size_t head_floats() const override { return size_t(1) << 22; }
  int slab_slots(size_t slot_floats) const override { return int(std::clamp<size_t>(kSlabFloats / slot_floats, 1, kMostSlots)); }

  float* allocate(size_t floats) override { return static_cast<float*>(aligned_zeros(floats * 4).release()); }
  void release(float* buffer) override { AlignedFree()(buffer); }
  void zero(float* buffer, size_t floats) override { std::memset(buffer, 0, floats * 4); }
  void copy(float* to, const float* from, size_t floats) override { std::memcpy(to, from, floats * 4); }
  void upload(float* to, const float* from, size_t floats) override { copy(to, from, floats); }
  void download(float* to, const float* from, size_t floats) override { copy(to, from, floats); }

  std::unique_ptr<Matrix> pack(const HostMatrix& host, const std::vector<int>& sections) override {
    return std::make_unique<PackedMatrix>(host, sections, activations_, pool_);
  }
  std::unique_ptr<Matrix> pack_table(const HostMatrix& host) override { return std::make_unique<Table>(host); }

  void run_block(const Block& block, const std::function<void(int)>& ops) override { ops(int(block.tokens.size())); }

  void embed(const Matrix& table, const Block& block, int rows, Rows out) override {
    const Table& stored = static_cast<const Table&>(table);
    by_rows(rows, table.n_in, [&](int begin, int end) {
      for (int row = begin; row < end; ++row) stored.read(block.tokens[row], out.data + size_t(row) * out.ld);
    });
  }

  void rms_norm(Rows x, const float* weight, int width, float eps, int rows, Rows out) override {
    const NormArgs args{x.data, x.ld, weight, width, eps, out.data, out.ld};
    by_rows(rows, width, [&](int begin, int end) { kernels_.rms_norm(args, begin, end); });
  }

  void convert(Rows x, int width, int rows, Rows out) override {
    for (int i = 0; i < rows; ++i) std::memcpy(out.data + size_t(i) * out.ld, x.data + size_t(i) * x.ld, size_t(width) * 4);
  }

  void linear(const Matrix& w, const float* bias, Rows x, int rows, Rows out, bool accumulate) override {
    const PackedMatrix& packed = static_cast<const PackedMatrix&>(w);
    LinearArgs args = packed.arguments();
    args.x = pack_rows(packed, x, rows);
    args.bias = bias;
    args.y = out.data;
    args.ldy = out.ld;
    args.accumulate = accumulate;
    const LinearKernel kernel = args.x.kind == Words::f32    ? kernels_.linear_f32
                                : args.x.kind == Words::bf16 ? kernels_.linear_bf16
                                                             : kernels_.linear_int8;
    // A task takes a few tiles of rows by enough panels for a fair amount of work, or of weights where rows are few.
    const int panels = ceil_div(w.n_out, kPanel), tiles = ceil_div(rows, kTileRows);
    const int tile_step = std::min(tiles, kTilesAtOnce);
    const int64_t work = int64_t(std::min(rows, tile_step * kTileRows)) * w.n_in * kPanel;
    const int64_t by_work = kLinearTask / std::max<int64_t>(work, 1), by_bytes = kLinearBytes / int64_t(args.panel_bytes);
    const int panel_step = int(std::clamp<int64_t>(std::min(by_work, by_bytes), 1, panels));
    const int column_tasks = ceil_div(panels, panel_step);
    pool_.run(ceil_div(tiles, tile_step) * column_tasks, [&](int task) {
      const int tile = task / column_tasks * tile_step, panel = task % column_tasks * panel_step;
      kernel(args, tile, std::min(tiles, tile + tile_step), rows, panel, std::min(panels, panel + panel_step));
    });
  }

  void causal_conv1d(const ConvWeights& w, int d_inner, Rows x, const Block& block, size_t state_offset, Rows u) override {
    const ConvArgs args{w, padded(d_inner), x.data, x.ld, u.data, u.ld, state_offset};
    by_channels(d_inner, w.d_conv + 8, kConvChannels, block.spans, [&](const Span& span, int begin, int end) {
      kernels_.causal_conv1d(args, span, begin, end);
    });
  }

  void selective_scan(const ScanWeights& w, int d_inner, Rows u, Rows dt, Rows b, Rows c, Rows z,
                      const Block& block, size_t state_offset, Rows y) override {
    const ScanArgs args{w,     u.data, dt.data, b.data, c.data, z.data, u.ld,
                        dt.ld, b.ld,   c.ld,    z.ld,   y.data, y.ld,   state_offset};
    by_channels(d_inner, w.d_state * 16, 16, block.spans, [&](const Span& span, int begin, int end) {
      kernels_.selective_scan(args, span, begin, end);
    });
  }

  void gather(Rows x, const int* rows_wanted, int rows, int width, Rows out) override {
    for (int i = 0; i < rows; ++i)
      std::memcpy(out.data + size_t(i) * out.ld, x.data + size_t(rows_wanted[i]) * x.ld, size_t(width) * 4);
  }

  void log_probs(Rows logits, int vocab, const ScoredRow* scored, int rows) override {
    by_rows(rows, vocab * 8, [&](int begin, int end) { kernels_.log_probs(logits, vocab, scored, begin, end); });
  }

 private:
  // Tokens per block: enough rows to amortise reading the weights, few enough for activations to stay in cache.
  static constexpr int kBlockRows = 384;
  // A slab is cleared by whoever opens a session: small enough not to be felt there, large enough to be few.
  static constexpr size_t kSlabFloats = size_t(2) << 20, kMostSlots = 64;
  static constexpr int kTilesAtOnce = 8;
  // Most multiplications, and most bytes of weights, of one task of `linear`.
  static constexpr int64_t kLinearTask = 1 << 21, kLinearBytes = 1 << 17;
  // So many channels of a row are a run that memory delivers well.
  static constexpr int kConvChannels = 128;
  // Work, in element operations, worth handing to another core.
  static constexpr int64_t kTaskWork = 1 << 16;

  /** The activations of one call, in memory that the next call reuses. */
  PackedRows pack_rows(const PackedMatrix& w, Rows x, int rows) {
    const size_t tiled = size_t(ceil_div(rows, kTileRows)) * kTileRows, groups = w.groups();
    const size_t words = tiled * w.steps(), bytes = (words + 2 * tiled * groups) * 4;
    if (bytes > packed_bytes_) {
      packed_rows_ = aligned_zeros(bytes);
      packed_bytes_ = bytes;
    }
    uint32_t* memory = static_cast<uint32_t*>(packed_rows_.get());
    const PackedRows packed{w.words(), w.steps(), w.group_steps(), int(groups), memory,
                            reinterpret_cast<float*>(memory + words),
                            reinterpret_cast<int32_t*>(memory + words + tiled * groups)};
    const int tiles_a_task = int(std::clamp<int64_t>(kTaskWork / (int64_t(kTileRows) * w.n_in), 1, 1 << 10));
    const int step = tiles_a_task * kTileRows;
    pool_.run(ceil_div(rows, step), [&](int task) {
      kernels_.pack_rows(packed, x, w.n_in, task * step, std::min(rows, (task + 1) * step));
    });
    return packed;
  }

  template <class Body>
  void by_rows(int rows, int work_per_row, const Body& body) {
    const int step = int(std::clamp<int64_t>(kTaskWork / std::max(1, work_per_row), 1, rows));
    pool_.run(ceil_div(rows, step), [&](int task) { body(task * step, std::min(rows, (task + 1) * step)); });
  }

  /** Cuts (sequence, channels) so that one task carries a fair amount of work, of `at_least` channels. */
  template <class Body>
  void by_channels(int d_inner, int work_per_cell, int at_least, const std::vector<Span>& spans, const Body& body) {
    tiles_.clear();
    const int channels = padded(d_inner);
    for (int s = 0; s < int(spans.size()); ++s) {
      const int64_t per_vector = int64_t(spans[s].rows) * work_per_cell * 16;
      const int step = std::max(at_least, int(std::clamp<int64_t>(kTaskWork * 2 / per_vector, 1, channels / 16)) * 16);
      for (int begin = 0; begin < channels; begin += step) tiles_.push_back({s, begin, std::min(channels, begin + step)});
    }
    pool_.run(int(tiles_.size()), [&](int task) {
      const Tile& tile = tiles_[task];
      body(spans[tile.span], tile.begin, tile.end);
    });
  }

  struct Tile {
    int span, begin, end;
  };

  const Isa isa_;
  const Activations activations_;
  const Kernels kernels_;
  ThreadPool pool_;
  // Kept between calls.
  std::vector<Tile> tiles_;
  AlignedBytes packed_rows_;
  size_t packed_bytes_ = 0;
};

}  // namespace
}  // namespace longhaul::cpu

namespace longhaul {

std::unique_ptr<Backend> create_cpu_backend(int threads, Isa isa, Activations activations) {
  if (isa == Isa::automatic) isa = cpu::best_isa();
  if (!cpu::has_isa(isa))
    throw std::invalid_argument(std::string("this processor or build has no ") + cpu::isa_name(isa));
  return std::make_unique<cpu::CpuBackend>(threads, isa, activations);
}

CpuProbe probe_cpu() { return {cpu::isa_name(cpu::best_isa()), cpu::cpu_model(), cpu::cpu_features()}; }

}  // namespace longhaul
