// Large matrix products by cuBLASLt, which is looked for when the backend starts: it is not needed to build.
#pragma once

#include <memory>
#include <string>

#include "backend/cuda/kernels.h"
#include "backend/cuda/upload.h"

namespace longhaul::cuda {

/** y = (W w.scales) (x x_scales), or y += that; W and x are e4m3, sums fp32. */
struct Fp8Args {
  WeightView w;
  const uint8_t* x;  // (rows, n_in)
  const float* x_scales;
  float* product;  // (most rows, n_out): room for the unscaled product
  int rows;
  Typed y;
  bool accumulate;  // y is fp32 then
};

/**
 * A plan is chosen by the shape of W alone and kept only if its rows have the same bits however many they are: no split
 * along k, and tried on `most_rows` rows against fewer. It is made by the first call with its shape, which overwrites x and y
 * (most_rows of each).
 */
class Gemm {
 public:
  virtual ~Gemm() = default;
  /** Names the arithmetic of all plans made so far: another version of the library, or another device, may have chosen others. */
  virtual std::string identity() const = 0;
  /** y = W x (or y += W x, fp32) with bf16 W and x; bias is not added. False where no plan keeps the promise: nothing was done. */
  virtual bool run(Stream& stream, const LinearArgs& args) = 0;
  /** Whether e4m3 by e4m3 is to be had at all. */
  virtual bool has_fp8() const = 0;
  /** False as above. */
  virtual bool run_fp8(Stream& stream, const Fp8Args& args) = 0;
};

/** Null where the library is not found: `missing` then says what, and where it was looked for. */
std::unique_ptr<Gemm> open_gemm(const DeviceFacts& device, int most_rows, Uploader& uploader, std::string& missing);

/** Device memory that a Gemm takes. */
constexpr size_t kGemmWorkspaceBytes = size_t(32) << 20;

}  // namespace longhaul::cuda
