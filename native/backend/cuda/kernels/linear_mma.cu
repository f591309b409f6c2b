// y = W x + bias (or y += ...) for a few rows of x, by the tiles of mma_tile.h: the same bits of a row whatever else is in
// the call. Bound by reading W.
#include "backend/cuda/kernels/mma_tile.h"

namespace longhaul::cuda {
namespace {

struct StoreRow {
  using Args = LinearArgs;
  static constexpr const char* kName = "linear_mma";
  static __device__ void expect(const Args&, int, int) {}
  static __device__ void store(const Args& a, int row, int token, float sum) {
    const size_t at = size_t(token) * a.y.ld + row;
    if (a.y.bf16) {
      static_cast<uint16_t*>(a.y.data)[at] = to_bf16(sum);
    } else {
      float* const y = static_cast<float*>(a.y.data) + at;
      *y = a.accumulate ? add(*y, sum) : sum;
    }
  }
};

}  // namespace

void linear_mma(Stream& stream, const LinearArgs& args) { launch_mma<StoreRow>(stream, args); }

}  // namespace longhaul::cuda
