#include "backend/cpu/packed_matrix.h"

#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>
#include <numeric>

#include "backend/math/convert.h"

namespace longhaul::cpu {
namespace {

/** The words that meet this weight, and how many values of k one step of its panel holds. */
Words words_for(Dtype dtype, Activations activations) {
  if (activations == Activations::f32) return Words::f32;
  if (dtype == Dtype::bf16) return Words::bf16;
  return dtype == Dtype::int8 || dtype == Dtype::code4 ? Words::int8 : Words::f32;
}
int per_step(Dtype dtype) {
  switch (dtype) {
    case Dtype::bf16: return 2;
    case Dtype::int8: return 4;
    case Dtype::code4: return 8;
    default: return 1;
  }
}

/** Values of k that share a scale: blocks run over row ends, so the part of a block that every row is cut by. */
int segment_of(int cols, int block_size) {
  const int segment = std::gcd(cols, block_size);
  return segment > kMaxGroup ? std::gcd(segment, kMaxGroup) : segment;
}

}  // namespace

void AlignedFree::operator()(void* p) const { std::free(p); }

AlignedBytes aligned_zeros(size_t bytes) {
  // Large blocks lie on huge pages where the system has them: fewer faults at load, fewer misses of the page tables after.
  constexpr size_t kHugePage = 2 << 20;
  const size_t alignment = bytes >= kHugePage ? kHugePage : 64;
  const size_t rounded = (bytes + 64 + alignment - 1) / alignment * alignment;
  void* p = std::aligned_alloc(alignment, rounded);
  if (!p) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
  if (alignment == kHugePage) madvise(p, rounded, MADV_HUGEPAGE);
#endif
  std::memset(p, 0, rounded);
  return AlignedBytes(p);
}

PackedMatrix::PackedMatrix(const HostMatrix& host, const std::vector<int>& sections, Activations activations,
                           ThreadPool& pool) {
  std::vector<int> source;  // the host row behind each packed row, -1 for padding
  int next = 0;
  for (const int rows : sections) {
    for (int i = 0; i < padded(rows); ++i) source.push_back(i < rows ? next + i : -1);
    next += rows;
  }
  n_in = host.cols;
  n_out = int(source.size());
  dtype_ = host.dtype;
  const int segment = dtype_ == Dtype::code4 ? segment_of(n_in, host.block_size) : 0;
  // Scales that change within eight values of k fit no packed step: only odd little matrices have them.
  if (dtype_ == Dtype::code4 && segment % 8 != 0) dtype_ = Dtype::f32;
  // Exact, and no faster than fp32: processors have no instruction for it.
  if (dtype_ == Dtype::fp8) dtype_ = Dtype::f32;
  words_ = words_for(dtype_, activations);

  const int per = per_step(dtype_);
  const int packed_steps = (n_in + per - 1) / per;
  steps_ = packed_steps * per / per_word(words_);
  if (dtype_ == Dtype::code4) {
    segments_ = n_in / segment;
    group_steps_ = segment / 4;
    std::copy_n(host.code, 16, code_);
    if (words_ == Words::int8) choose_unit(host.code);
    scales_.resize(size_t((n_out + kPanel - 1) / kPanel) * kPanel * segments_);
  } else if (words_ == Words::int8) {
    group_steps_ = std::min(kMaxGroup / 4, steps_);
  }
  if (dtype_ == Dtype::int8) {
    scales_.resize(n_out);
    for (int i = 0; i < n_out; ++i) scales_[i] = source[i] < 0 ? 0.0f : host.scales[source[i]];
  }
  const size_t cell = dtype_ == Dtype::f16 ? 2 : 4;
  panel_bytes_ = size_t(packed_steps) * kPanel * cell;
  panels_ = aligned_zeros(bytes());
  pool.run((n_out + kPanel - 1) / kPanel, [&](int panel) { pack_panel(host, source, panel); });
}

void PackedMatrix::pack_panel(const HostMatrix& host, const std::vector<int>& source, int panel) {
  const int columns = std::min(kPanel, n_out - panel * kPanel);
  const size_t cols = n_in;
  uint8_t* out = static_cast<uint8_t*>(panels_.get()) + panel * panel_bytes_;
  if (dtype_ == Dtype::code4) return pack_codes(host, source, panel, columns, out);
  if (dtype_ == Dtype::int8) std::memset(out, 128, size_t((n_in + 3) / 4) * columns * 4);
  for (int c = 0; c < columns; ++c) {
    const int row = source[panel * kPanel + c];
    if (row < 0) continue;
    switch (dtype_) {
      case Dtype::bf16: {
        const uint16_t* from = static_cast<const uint16_t*>(host.data) + row * cols;
        uint16_t* to = reinterpret_cast<uint16_t*>(out);
        for (size_t k = 0; k < cols; ++k) to[(k / 2 * columns + c) * 2 + k % 2] = from[k];
        break;
      }
      case Dtype::f16: {
        const uint16_t* from = static_cast<const uint16_t*>(host.data) + row * cols;
        for (size_t k = 0; k < cols; ++k) reinterpret_cast<uint16_t*>(out)[k * columns + c] = from[k];
        break;
      }
      case Dtype::int8: {
        const int8_t* from = static_cast<const int8_t*>(host.data) + row * cols;
        for (size_t k = 0; k < cols; ++k) out[(k / 4 * columns + c) * 4 + k % 4] = uint8_t(from[k] + 128);
        break;
      }
      default:
        for (size_t k = 0; k < cols; ++k) reinterpret_cast<float*>(out)[k * columns + c] = math::element(host, row, k);
    }
  }
}

void PackedMatrix::pack_codes(const HostMatrix& host, const std::vector<int>& source, int panel, int columns, uint8_t* out) {
  const size_t cols = n_in, segment = cols / segments_;
  const uint8_t* from = static_cast<const uint8_t*>(host.data);
  float* scales = scales_.data() + size_t(panel) * segments_ * kPanel;
  for (int c = 0; c < columns; ++c) {
    const int row = source[panel * kPanel + c];
    if (row < 0) continue;  // scale 0
    for (size_t k = 0; k < cols; ++k) {
      const size_t i = row * cols + k;
      const uint8_t nibble = i % 2 ? from[i / 2] & 15 : from[i / 2] >> 4;
      out[(k / 8 * columns + c) * 4 + k % 4] |= uint8_t(nibble << (k % 8 < 4 ? 0 : 4));
    }
    for (int s = 0; s < segments_; ++s)
      scales[size_t(s) * columns + c] = host.scales[(row * cols + s * segment) / host.block_size] * unit_;
  }
}

/**
 * The unit in which the sixteen codes lie nearest to integers of at most 127: the largest code, cut into 64 to 127 parts.
 * The error left is a twentieth of the gap between two neighbouring codes of NF4, and none for FP4 but its smallest code.
 */
void PackedMatrix::choose_unit(const float* code) {
  float most = 0;
  for (int i = 0; i < 16; ++i) most = std::max(most, std::fabs(code[i]));
  double best = INFINITY;
  for (double parts = 127; most > 0 && parts >= 64; parts -= 1.0 / 16) {
    const double unit = most / parts;
    double error = 0;
    for (int i = 0; i < 16; ++i) {
      const double q = code[i] / unit;
      error += std::pow((q - std::nearbyint(q)) * unit, 2);
    }
    if (error < best) {
      best = error;
      unit_ = float(unit);
    }
  }
  for (int i = 0; i < 16; ++i)
    bytes_[i] = uint8_t(128 + std::clamp(int(std::nearbyint(double(code[i]) / double(unit_))), -127, 127));
}

LinearArgs PackedMatrix::arguments() const {
  LinearArgs args{};
  args.dtype = dtype_;
  args.panels = static_cast<const uint8_t*>(panels_.get());
  args.panel_bytes = panel_bytes_;
  args.n_out = n_out;
  args.scales = scales_.empty() ? nullptr : scales_.data();
  args.segments = segments_;
  args.code = code_;
  args.bytes = bytes_;
  return args;
}

Table::Table(const HostMatrix& host) : dtype_(host.dtype) {
  n_in = host.cols;
  n_out = host.rows;
  const size_t bytes = size_t(host.rows) * host.cols * (host.dtype == Dtype::f32 ? 4 : 2);
  data_ = aligned_zeros(bytes);
  std::memcpy(data_.get(), host.data, bytes);
}

void Table::read(int row, float* out) const {
  for (int i = 0; i < n_in; ++i) out[i] = math::element(data_.get(), dtype_, size_t(row) * n_in + i);
}

}  // namespace longhaul::cpu
