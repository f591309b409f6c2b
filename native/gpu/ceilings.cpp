#include "gpu/ceilings.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "backend/cuda/gemm.h"
#include "gpu/deadline.h"

namespace longhaul {
namespace {

using namespace cuda;

constexpr int kRows = 2048, kIn = 4096, kOut = 16384;

void measure_memory(Stream& stream, size_t bytes, Ceilings& out) {
  const DeviceMemory from(allocate_device(bytes)), to(allocate_device(bytes));
  std::vector<double> rates;
  for (int i = 0; i < 12; ++i) {
    const float ms = time_on(stream, [&] { stream.copy(to.get(), from.get(), bytes); });
    if (i > 1) rates.push_back(2e3 * double(bytes) / ms);
  }
  out.bytes_per_second = median(rates);
  const size_t part = bytes / 8;
  const PinnedMemory host(allocate_pinned(part));
  std::memset(host.get(), 1, part);
  rates.clear();
  for (int i = 0; i < 8; ++i) {
    const float ms = time_on(stream, [&] { stream.copy(to.get(), host.get(), part); });
    if (i > 1) rates.push_back(1e3 * double(part) / ms);
  }
  out.to_device = median(rates);
}

double fastest(const std::vector<Gemm::Candidate>& candidates) {
  double most = 0;
  for (const Gemm::Candidate& c : candidates)
    if (c.microseconds > 0) most = std::max(most, 2e6 * kRows * double(kIn) * kOut / c.microseconds);
  return most;
}

void measure_products(Stream& stream, int device, Ceilings& out) {
  std::string missing;
  Uploader uploader(size_t(8) << 20);
  const auto gemm = open_gemm(device_facts(device), kRows, uploader, missing);
  if (!gemm) return;
  const size_t w_bytes = size_t(kIn) * kOut * 2, x_bytes = size_t(kRows) * kIn * 2, y_bytes = size_t(kRows) * kOut * 4;
  const DeviceMemory w(allocate_device(w_bytes)), x(allocate_device(x_bytes)), y(allocate_device(y_bytes)), scales(allocate_device(kOut * 4));
  std::vector<uint16_t> random(w_bytes / 2);
  uint32_t state = 2463534242u;
  for (uint16_t& value : random) {
    state ^= state << 13, state ^= state >> 17, state ^= state << 5;
    value = uint16_t((state & 0x807e) | (120 + (state >> 20) % 4) << 7);
  }
  uploader.upload(w.get(), random.data(), w_bytes);
  uploader.upload(scales.get(), std::vector<float>(kOut, 1.0f).data(), kOut * 4);
  uploader.finish();
  const Typed narrow{y.get(), kOut, true};
  out.flops = fastest(gemm->candidates(stream, {{Dtype::bf16, w.get(), nullptr, nullptr, kIn, kOut, 0}, nullptr, {x.get(), kIn, true}, kRows, narrow, false}));
  // The same bits as e4m3: no byte of these is NaN there.
  const WeightView w8{Dtype::fp8, w.get(), static_cast<const float*>(scales.get()), nullptr, kIn, kOut, 0};
  if (gemm->has_fp8())
    out.fp8_flops = fastest(gemm->candidates_fp8(stream, {w8, static_cast<const uint8_t*>(x.get()), static_cast<const float*>(scales.get()),
                                                          static_cast<float*>(y.get()), kRows, narrow, false}));
}

}  // namespace

Ceilings measure_ceilings(int device, bool small) {
  Ceilings out;
  out.clocks = device_clocks(device);
  Stream stream;
  // Far more than a cache holds; less where the device has little free.
  measure_memory(stream, std::min(size_t(small ? 4 : 2048) << 20, device_facts(device).free_bytes / 8 / 256 * 256), out);
  if (!small) measure_products(stream, device, out);
  return out;
}

void print_ceilings(const Ceilings& c) {
  say("\n| ceiling | |\n|---|---:|\n");
  say("| memory, copy (read + write), GB/s | %.0f |\n", c.bytes_per_second / 1e9);
  say("| bf16 GEMM, 2048 x 4096 x 16384, the fastest of cuBLASLt, TFLOP/s | %.0f |\n", c.flops / 1e12);
  say("| fp8 GEMM, the same, TFLOP/s | %.0f |\n", c.fp8_flops / 1e12);
  say("| page-locked host memory to the device, GB/s | %.1f |\n", c.to_device / 1e9);
}

}  // namespace longhaul
