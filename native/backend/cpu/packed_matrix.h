// A weight on the CPU: panels of sixteen output columns, k-major, as fp32 or as the stored bf16.
#pragma once

#include <cstdint>
#include <memory>

#include "backend/backend.h"
#include "backend/cpu/thread_pool.h"

namespace longhaul::cpu {

/** 64-byte aligned, zero-filled. */
struct AlignedFree {
  void operator()(void* p) const;
};
using AlignedBytes = std::unique_ptr<void, AlignedFree>;
AlignedBytes aligned_zeros(size_t bytes);

class PackedMatrix : public Matrix {
 public:
  /** bf16 stays bf16 (widening is exact and halves the traffic of decode); f16 becomes fp32. */
  PackedMatrix(const HostMatrix& host, const std::vector<int>& sections, ThreadPool& pool);
  bool bf16;
  AlignedBytes panels;
};

/** An embedding table as stored, (vocab, width). */
class Table : public Matrix {
 public:
  explicit Table(const HostMatrix& host);
  /** Row `row`, upcast exactly. */
  void read(int row, float* out) const;

 private:
  Dtype dtype_;
  AlignedBytes data_;
};

}  // namespace longhaul::cpu
