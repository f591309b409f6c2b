// A weight on the CPU, in the format it is stored in: panels of 32 output columns, k-major.
//
//   f32    (n_in, columns)               f16    (n_in, columns)
//   bf16   (n_in / 2, columns, 2)        int8   (n_in / 4, columns, 4), plus 128
//   code4  (n_in / 8, columns, 4) bytes: byte b holds k = b in the low nibble, k = b + 4 in the high one
//
// n_in is padded with zeros to whole words. A panel is one stream for whoever reads it.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/kernels.h"
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
  PackedMatrix(const HostMatrix& host, const std::vector<int>& sections, Activations activations, ThreadPool& pool);

  Words words() const { return words_; }
  /** Words of one row of activations, and its groups (int8). */
  int steps() const { return steps_; }
  int group_steps() const { return group_steps_; }
  int groups() const { return words_ == Words::int8 ? (steps_ + group_steps_ - 1) / group_steps_ : 0; }
  size_t bytes() const { return panel_bytes_ * ((n_out + kPanel - 1) / kPanel); }
  /** Everything of LinearArgs that is the weight's. */
  LinearArgs arguments() const;

 private:
  void pack_panel(const HostMatrix& host, const std::vector<int>& source, int panel);
  void pack_codes(const HostMatrix& host, const std::vector<int>& source, int panel, int columns, uint8_t* out);
  void choose_unit(const float* code);

  Dtype dtype_;
  Words words_;
  int steps_, group_steps_ = 1, segments_ = 1;
  size_t panel_bytes_;
  AlignedBytes panels_;
  std::vector<float> scales_;
  alignas(64) float code_[16] = {};
  uint8_t bytes_[16] = {};
  float unit_ = 1;  // code4 with int8 activations: code = unit * (bytes - 128), nearly
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
