#include "backend/cpu/packed_matrix.h"

#include <cstdlib>
#include <cstring>
#include <new>

#include "backend/cpu/kernels.h"
#include "backend/math/convert.h"

namespace longhaul::cpu {
namespace {

size_t bytes_of(Dtype dtype) { return dtype == Dtype::f32 ? 4 : 2; }

}  // namespace

void AlignedFree::operator()(void* p) const { std::free(p); }

AlignedBytes aligned_zeros(size_t bytes) {
  const size_t rounded = (bytes + 63) / 64 * 64 + 64;
  void* p = std::aligned_alloc(64, rounded);
  if (!p) throw std::bad_alloc();
  std::memset(p, 0, rounded);
  return AlignedBytes(p);
}

PackedMatrix::PackedMatrix(const HostMatrix& host, const std::vector<int>& sections, ThreadPool& pool)
    : bf16(host.dtype == Dtype::bf16) {
  std::vector<int> source;  // the host row behind each packed row, -1 for padding
  int next = 0;
  for (const int rows : sections) {
    for (int i = 0; i < padded(rows); ++i) source.push_back(i < rows ? next + i : -1);
    next += rows;
  }
  n_in = host.cols;
  n_out = int(source.size());
  panels = aligned_zeros(size_t(n_in) * n_out * (bf16 ? 2 : 4));

  const size_t cols = host.cols;
  pool.run(n_out / kPanel, [&](int panel) {
    for (int lane = 0; lane < kPanel; ++lane) {
      const int row = source[panel * kPanel + lane];
      if (row < 0) continue;
      const size_t to = size_t(panel) * cols * kPanel + lane;
      if (bf16) {
        const uint16_t* from = static_cast<const uint16_t*>(host.data) + row * cols;
        for (size_t k = 0; k < cols; ++k) static_cast<uint16_t*>(panels.get())[to + k * kPanel] = from[k];
      } else {
        float* out = static_cast<float*>(panels.get());
        for (size_t k = 0; k < cols; ++k) out[to + k * kPanel] = math::element(host, row, k);
      }
    }
  });
}

Table::Table(const HostMatrix& host) : dtype_(host.dtype) {
  n_in = host.cols;
  n_out = host.rows;
  const size_t bytes = size_t(host.rows) * host.cols * bytes_of(host.dtype);
  data_ = aligned_zeros(bytes);
  std::memcpy(data_.get(), host.data, bytes);
}

void Table::read(int row, float* out) const {
  for (int i = 0; i < n_in; ++i) out[i] = math::element(data_.get(), dtype_, size_t(row) * n_in + i);
}

}  // namespace longhaul::cpu
