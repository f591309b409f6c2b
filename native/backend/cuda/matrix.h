// Weights on the device.
#pragma once

#include <vector>

#include "backend/backend.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/upload.h"

namespace longhaul::cuda {

/**
 * A weight as the kernels read it, (n_out, n_in padded), rows of zeros where sections are padded. With `matched` activations
 * int8 and fp8 stay what they are, 4-bit codes stay codes with a scale for each 64 of them (where rows are whole blocks of 64),
 * and all else is rounded to bf16; otherwise everything is expanded to fp32.
 */
class DeviceMatrix : public Matrix {
 public:
  DeviceMatrix(const HostMatrix& host, const std::vector<int>& sections, Activations activations, Uploader& uploader);
  const WeightView& view() const { return view_; }

 private:
  WeightView view_{};
  DeviceMemory data_, scales_, code_;
};

/** An embedding table as stored, f32, f16 or bf16; other formats as fp32. */
class DeviceTable : public Matrix {
 public:
  DeviceTable(const HostMatrix& host, Uploader& uploader);
  const void* data() const { return data_.get(); }
  Dtype dtype() const { return dtype_; }

 private:
  Dtype dtype_;
  DeviceMemory data_;
};

}  // namespace longhaul::cuda
