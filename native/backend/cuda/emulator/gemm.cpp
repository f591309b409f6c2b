// Products as cuBLASLt makes them, one sum after the other on the host; e4m3 without the library's own scales.
#include <cstdlib>

#include "backend/cuda/emulator/inspect.h"
#include "backend/cuda/gemm.h"
#include "backend/math/convert.h"

namespace longhaul::cuda {
namespace {

class HostGemm : public Gemm {
 public:
  std::string identity() const override { return "emulated"; }
  bool run(Stream& stream, const LinearArgs& a) override {
    stream.enqueue(std::function<void()>([a] {
      const uint16_t *const w = static_cast<const uint16_t*>(a.w.data), *const x = static_cast<const uint16_t*>(a.x.data);
      tell(a.w, 2, a.x.data, a.x.ld, a.rows, a.y, a.accumulate);
      multiply(a.w, a.rows, a.y, a.accumulate, [&](int row, int out, int k) {
        return math::from_bf16(x[size_t(row) * a.x.ld + k]) * math::from_bf16(w[size_t(out) * a.w.n_in + k]);
      });
    }));
    return true;
  }

  bool has_fp8() const override { return true; }
  bool run_fp8(Stream& stream, const Fp8Args& a) override {
    stream.enqueue(std::function<void()>([a] {
      const uint8_t* const w = static_cast<const uint8_t*>(a.w.data);
      tell(a.w, 1, a.x, a.w.n_in, a.rows, {a.product, a.w.n_out, false}, false);
      multiply(a.w, a.rows, {a.product, a.w.n_out, false}, false, [&](int row, int out, int k) {
        return math::from_e4m3(a.x[size_t(row) * a.w.n_in + k]) * math::from_e4m3(w[size_t(out) * a.w.n_in + k]);
      });
    }));
    scale_product(stream, {a.product, a.x_scales, a.w.scales, a.w.n_out, a.y, a.accumulate}, a.rows);
    return true;
  }

 private:
  /** Elements of W and x have `bytes` each. */
  static void tell(const WeightView& w, size_t bytes, const void* x, int ld, int rows, Typed y, bool accumulate) {
    inspector::library_read(w.data, size_t(w.n_out) * w.n_in * bytes, "gemm");
    const size_t wide = y.bf16 ? 2 : 4;
    for (int row = 0; row < rows; ++row) {
      inspector::library_read(static_cast<const char*>(x) + size_t(row) * ld * bytes, w.n_in * bytes, "gemm");
      char* const line = static_cast<char*>(y.data) + size_t(row) * y.ld * wide;
      if (accumulate) inspector::library_read(line, w.n_out * wide, "gemm");
      inspector::library_wrote(line, w.n_out * wide, "gemm");
    }
  }

  template <class Term>
  static void multiply(const WeightView& w, int rows, Typed y, bool accumulate, const Term& term) {
    for (int row = 0; row < rows; ++row)
      for (int out = 0; out < w.n_out; ++out) {
        float sum = 0;
        for (int k = 0; k < w.n_in; ++k) sum += term(row, out, k);
        const size_t at = size_t(row) * y.ld + out;
        if (y.bf16)
          static_cast<uint16_t*>(y.data)[at] = math::to_bf16(sum);
        else
          static_cast<float*>(y.data)[at] = accumulate ? static_cast<float*>(y.data)[at] + sum : sum;
      }
  }
};

}  // namespace

std::unique_ptr<Gemm> open_gemm(const DeviceFacts&, int, Uploader&, std::string&) {
  const char* const named = std::getenv("LONGHAUL_CUBLASLT");
  if (named && std::string(named) == "none") return nullptr;
  return std::make_unique<HostGemm>();
}

}  // namespace longhaul::cuda
