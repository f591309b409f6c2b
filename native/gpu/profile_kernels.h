// The kernels of a FalconMamba layer and of its head, each launched as the backend launches it, and what it must at least move
// and do: every input read once, every output written once.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "backend/cuda/gemm.h"
#include "gpu/profile.h"
#include "gpu/profile_scratch.h"

namespace longhaul {

/** Bytes moved, FLOP of tensor cores, and calls of the special-function units. */
struct Cost {
  double bytes = 0, flop = 0;
  bool fp8 = false;
  double special = 0;
};

class ProfileKernels {
 public:
  ProfileKernels(const CudaOptions& options, const ProfileShape& shape);

  struct Measured {
    std::string kernel;
    Cost cost;
    double microseconds;
  };

  // Reading: `rows` tokens, in `spans` sequences.
  Measured embed(int rows);
  Measured rms_norm(int rows);
  Measured causal_conv1d(int rows, int spans);
  Measured mixer_norms(int rows);
  Measured selective_scan(int rows, int spans);
  /** A projection as a block that is read has it: cuBLASLt, or what stands in for it; quantized weights are expanded by slabs. */
  enum class Projection { in_proj, x_proj, dt_proj, out_proj };
  Measured product(Projection which, Dtype dtype, int rows);
  /** A projection, or the head, as it is without cuBLASLt. */
  Measured tiles(Projection which, int rows);
  Measured lm_head_read(int rows);
  /** All slabs of in_proj. */
  Measured dequantize(Dtype dtype);
  Measured quantize_rows(int rows);
  Measured scale_product(int rows);

  // Decoding: one token each of `rows` sequences.
  Measured in_proj_conv(Dtype dtype, int rows);
  Measured x_proj(Dtype dtype, int rows);
  Measured selective_state_update(Dtype dtype, int rows);
  Measured out_proj(Dtype dtype, int rows);

  // The head.
  Measured gather(int rows);
  Measured lm_head(Dtype dtype, int rows);
  /** Temperature 0.7, 50 candidates. */
  Measured shortlist(int rows);
  /** A target of each row and no alternatives. */
  Measured log_probs(int rows);

  // In no layer of FalconMamba-7B: for models with biases, in fp32 or without norms.
  Measured convert(int rows);
  Measured add_bias(int rows);
  Measured linear_f32(int rows);
  /** Next to nothing: what a launch in a graph costs. */
  Measured launch_alone();

  /** The library and the arithmetic of its plans so far, "" without it. */
  std::string library() const { return gemm_ ? gemm_->identity() : ""; }
  /** Candidates of cuBLASLt for a projection; none where there is no library. */
  std::vector<cuda::Gemm::Candidate> candidates(Projection which, bool fp8);
  /** in_proj's shape and so on, "4096 x 16384". */
  std::string shape_of(Projection which) const;
  static const char* name_of(Projection which);

 private:
  struct Weight {
    Rotating data, scales;
    const cuda::Codes* code;
    Dtype dtype;
    int n_in, n_out;
    double bytes;
    cuda::WeightView view(int i) const;
  };
  struct Shape {
    int n_in, n_out;
    bool bf16;        // the result
    bool accumulate;
  };
  Shape shape(Projection which) const;
  Scratch scratch();
  Weight weight(Scratch& scratch, Dtype dtype, int n_in, int n_out);
  Measured few_rows(Dtype dtype, int rows, Shape shape);
  Measured many_rows(int rows, Shape shape);
  int mixed() const { return padded(m_.dt_rank) + 2 * padded(m_.d_state); }

  const ProfileShape shape_;
  const ModelConfig m_;
  const Effort effort_;
  cuda::Stream stream_;
  cuda::Uploader uploader_;
  RandomPools pools_;
  std::unique_ptr<cuda::Gemm> gemm_;
  cuda::DeviceMemory table_;
};

}  // namespace longhaul
