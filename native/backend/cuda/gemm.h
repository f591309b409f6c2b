// Large matrix products by cuBLASLt, which is looked for when the backend starts: it is not needed to build.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

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

  /** An algorithm that the library offers for a product. */
  struct Candidate {
    enum class Keeps { no, yes, untried } keeps;
    float microseconds;  // 0: refused
    bool chosen;
  };
  /**
   * What a plan is chosen from, for gpu_check: all of them timed; which keep the bits of a row is found out up to the chosen one,
   * and for a few that are faster. Overwrites x and y like a first call. None where nothing is known of it.
   */
  virtual std::vector<Candidate> candidates(Stream& stream, const LinearArgs& args) { return static_cast<void>(stream), static_cast<void>(args), std::vector<Candidate>(); }
  virtual std::vector<Candidate> candidates_fp8(Stream& stream, const Fp8Args& args) { return static_cast<void>(stream), static_cast<void>(args), std::vector<Candidate>(); }
};

/** Null where the library is not found: `missing` then says what, and where it was looked for. */
std::unique_ptr<Gemm> open_gemm(const DeviceFacts& device, int most_rows, Uploader& uploader, std::string& missing);

/** Rows of a quantized weight that are expanded to bf16 at once: they stay in the second-level cache until they are read. */
constexpr size_t kSlabBytes = size_t(16) << 20;
inline int slab_rows(int n_in, int n_out) { return std::min(n_out, std::max(128, int(kSlabBytes / (size_t(n_in) * 2)) / 128 * 128)); }

/** Device memory that a Gemm takes. */
constexpr size_t kGemmWorkspaceBytes = size_t(32) << 20;

}  // namespace longhaul::cuda
