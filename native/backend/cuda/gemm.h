// Large matrix products by cuBLASLt, which is looked for when the backend starts: it is not needed to build.
#pragma once

#include <memory>
#include <string>

#include "backend/cuda/kernels.h"
#include "backend/cuda/upload.h"

namespace longhaul::cuda {

/**
 * y = W x (or y += W x, fp32) with bf16 W and x. A plan is chosen by the shape of W alone and kept only if its rows have the
 * same bits however many they are: no split along k, and tried on `most_rows` rows against fewer.
 *
 * A plan is made by the first call with its shape, which overwrites x and y (most_rows of each).
 */
class Gemm {
 public:
  virtual ~Gemm() = default;
  /** Bias is not added. False where no plan keeps the promise: nothing was done. */
  virtual bool run(Stream& stream, const LinearArgs& args) = 0;
};

/** Null where the library is not found: `missing` then says what, and where it was looked for. */
std::unique_ptr<Gemm> open_gemm(int most_rows, Uploader& uploader, std::string& missing);

/** Device memory that a Gemm takes. */
constexpr size_t kGemmWorkspaceBytes = size_t(32) << 20;

}  // namespace longhaul::cuda
