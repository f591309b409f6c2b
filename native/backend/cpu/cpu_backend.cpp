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

const Kernels& kernels_of(Isa isa) {
  switch (isa) {
#if defined(LONGHAUL_X86)
    case Isa::avx512:
    case Isa::avx512vnni:
    case Isa::avx512bf16: return kAvx512Kernels;
    case Isa::avx2: return kAvx2Kernels;
#endif
    default: return kPortableKernels;
  }
}

constexpr int ceil_div(int a, int b) { return (a + b - 1) / b; }

class CpuBackend : public Backend {
 public:
  CpuBackend(int threads, Isa isa) : isa_(isa), kernels_(kernels_of(isa)), pool_(threads) {}

  std::string device() const override { return "cpu"; }
  std::string isa() const override { return isa_name(isa_); }
  int threads() const override { return pool_.threads(); }

  float* allocate(size_t floats) override { return static_cast<float*>(aligned_zeros(floats * 4).release()); }
  void release(float* buffer) override { AlignedFree()(buffer); }
  void zero(float* buffer, size_t floats) override { std::memset(buffer, 0, floats * 4); }
  void copy(float* to, const float* from, size_t floats) override { std::memcpy(to, from, floats * 4); }
  void upload(float* to, const float* from, size_t floats) override { copy(to, from, floats); }
  void download(float* to, const float* from, size_t floats) override { copy(to, from, floats); }

  std::unique_ptr<Matrix> pack(const HostMatrix& host, const std::vector<int>& sections) override {
    return std::make_unique<PackedMatrix>(host, sections, pool_);
  }
  std::unique_ptr<Matrix> pack_table(const HostMatrix& host) override { return std::make_unique<Table>(host); }

  void embed(const Matrix& table, const int32_t* tokens, int rows, Rows out) override {
    const Table& stored = static_cast<const Table&>(table);
    by_rows(rows, table.n_in, [&](int begin, int end) {
      for (int row = begin; row < end; ++row) stored.read(tokens[row], out.data + size_t(row) * out.ld);
    });
  }

  void rms_norm(Rows x, const float* weight, int width, float eps, int rows, Rows out) override {
    const NormArgs args{x.data, x.ld, weight, width, eps, out.data, out.ld};
    by_rows(rows, width, [&](int begin, int end) { kernels_.rms_norm(args, begin, end); });
  }

  void linear(const Matrix& w, const float* bias, Rows x, int rows, Rows out, bool accumulate) override {
    const PackedMatrix& packed = static_cast<const PackedMatrix&>(w);
    const LinearArgs args{packed.panels.get(), packed.bf16, w.n_in, bias, x.data, x.ld, out.data, out.ld, accumulate};
    const int panels = w.n_out / kPanel;
    const double flops = 2.0 * rows * w.n_in * w.n_out;
    // Aim at tasks of about 2 Mflop for many rows, of 64 kB of weights for few; whole strips of eight panels.
    const int row_step = rows <= kRowTile ? rows : std::min(rows, kRowTile);
    const int row_tiles = ceil_div(rows, row_step);
    const double tasks_wanted = std::max(1.0, flops / (rows < 8 ? 1e5 * rows : 2e6));
    const int panel_tiles = std::clamp(int(tasks_wanted / row_tiles), 1, ceil_div(panels, 4));
    const int panel_step = std::max(2, ceil_div(ceil_div(panels, panel_tiles), 2) * 2);
    const int column_tasks = ceil_div(panels, panel_step);
    pool_.run(row_tiles * column_tasks, [&](int task) {
      const int row = task / column_tasks * row_step;
      const int panel = task % column_tasks * panel_step;
      kernels_.linear(args, row, std::min(rows, row + row_step), panel, std::min(panels, panel + panel_step));
    });
  }

  void causal_conv1d(const ConvWeights& w, int d_inner, Rows x, const std::vector<Span>& spans, size_t state_offset,
                     Rows u) override {
    const ConvArgs args{w, padded(d_inner), x.data, x.ld, u.data, u.ld, state_offset};
    by_channels(d_inner, w.d_conv + 8, spans, [&](const Span& span, int begin, int end) {
      kernels_.causal_conv1d(args, span, begin, end);
    });
  }

  void selective_scan(const ScanWeights& w, int d_inner, Rows u, Rows dt, Rows b, Rows c, Rows z,
                      const std::vector<Span>& spans, size_t state_offset, Rows y) override {
    const ScanArgs args{w,     u.data, dt.data, b.data, c.data, z.data, u.ld,
                        dt.ld, b.ld,   c.ld,    z.ld,   y.data, y.ld,   state_offset};
    by_channels(d_inner, w.d_state * 16, spans, [&](const Span& span, int begin, int end) {
      kernels_.selective_scan(args, span, begin, end);
    });
  }

  void gather(Rows x, const int* rows_wanted, int rows, int width, Rows out) override {
    for (int i = 0; i < rows; ++i)
      std::memcpy(out.data + size_t(i) * out.ld, x.data + size_t(rows_wanted[i]) * x.ld, size_t(width) * 4);
  }

  void log_probs(Rows logits, int vocab, const int32_t* targets, int rows, float* out) override {
    by_rows(rows, vocab * 8, [&](int begin, int end) { kernels_.log_probs(logits, vocab, targets, out, begin, end); });
  }

 private:
  static constexpr int kRowTile = 96;
  // Work, in element operations, worth handing to another core.
  static constexpr int64_t kTaskWork = 1 << 16;

  template <class Body>
  void by_rows(int rows, int work_per_row, const Body& body) {
    const int step = int(std::clamp<int64_t>(kTaskWork / std::max(1, work_per_row), 1, rows));
    pool_.run(ceil_div(rows, step), [&](int task) { body(task * step, std::min(rows, (task + 1) * step)); });
  }

  /** Cuts (sequence, channels) so that one task carries a fair amount of work. */
  template <class Body>
  void by_channels(int d_inner, int work_per_cell, const std::vector<Span>& spans, const Body& body) {
    tiles_.clear();
    const int channels = padded(d_inner);
    for (int s = 0; s < int(spans.size()); ++s) {
      const int64_t per_vector = int64_t(spans[s].rows) * work_per_cell * 16;
      const int step = int(std::clamp<int64_t>(kTaskWork * 2 / per_vector, 1, channels / 16)) * 16;
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
  const Kernels& kernels_;
  ThreadPool pool_;
  std::vector<Tile> tiles_;  // kept between calls
};

}  // namespace
}  // namespace longhaul::cpu

namespace longhaul {

std::unique_ptr<Backend> create_cpu_backend(int threads, Isa isa, Activations) {
  if (isa == Isa::automatic) isa = cpu::best_isa();
  if (!cpu::has_isa(isa))
    throw std::invalid_argument(std::string("this processor or build has no ") + cpu::isa_name(isa));
  return std::make_unique<cpu::CpuBackend>(threads, isa);
}

CpuProbe probe_cpu() { return {cpu::isa_name(cpu::best_isa()), cpu::cpu_model(), cpu::cpu_features()}; }

}  // namespace longhaul
