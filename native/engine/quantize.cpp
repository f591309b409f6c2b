#include "engine/quantize.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <thread>

#include "backend/math/convert.h"
#include "engine/error.h"

namespace longhaul {

const float kNf4[16] = {-1.0f,
                        -0.6961928009986877f,
                        -0.5250730514526367f,
                        -0.39491748809814453f,
                        -0.28444138169288635f,
                        -0.18477343022823334f,
                        -0.09105003625154495f,
                        0.0f,
                        0.07958029955625534f,
                        0.16093020141124725f,
                        0.24611230194568634f,
                        0.33791524171829224f,
                        0.44070982933044434f,
                        0.5626170039176941f,
                        0.7229568362236023f,
                        1.0f};

namespace {

/** body(begin, end) over [0, n) on a few threads; each end but the last is a multiple of `unit`. */
template <class Body>
void in_parallel(size_t n, size_t unit, const Body& body) {
  const size_t units = (n + unit - 1) / unit;
  const size_t threads = std::clamp<size_t>(std::min<size_t>(std::thread::hardware_concurrency(), units), 1, 8);
  std::vector<std::thread> others;
  const auto part = [&](size_t i) { body(units * i / threads * unit, std::min(n, units * (i + 1) / threads * unit)); };
  for (size_t i = 1; i < threads; ++i) others.emplace_back([&part, i] { part(i); });
  part(0);
  for (std::thread& other : others) other.join();
}

float absolute_maximum(const HostMatrix& w, size_t begin, size_t end, bool& finite) {
  float most = 0;
  for (size_t i = begin; i < end; ++i) {
    const float x = std::fabs(math::element(w.data, w.dtype, i));
    finite &= x <= 3.4028235e38f;
    most = std::max(most, x);
  }
  return most;
}

uint8_t nearest_nf4(float x) {
  // The halves between neighbouring codes; exactly on one, the lower code is taken, as bitsandbytes' comparisons do.
  static const auto borders = [] {
    std::array<float, 15> b{};
    for (int i = 0; i < 15; ++i) b[i] = (kNf4[i] + kNf4[i + 1]) / 2;
    return b;
  }();
  uint8_t code = 0;
  for (const float border : borders) code += x > border;
  return code;
}

}  // namespace

Quantized quantize(const HostMatrix& w, Quantize to) {
  const size_t n = size_t(w.rows) * w.cols, cols = w.cols;
  Quantized out;
  std::atomic<bool> all_finite{true};
  if (to != Quantize::nf4) {
    const bool fp8 = to == Quantize::fp8;
    const float largest = fp8 ? math::kMostE4m3 : 127.0f;
    out.data.resize(n);
    out.scales.resize(w.rows);
    in_parallel(w.rows, 1, [&](size_t begin, size_t end) {
      for (size_t row = begin; row < end; ++row) {
        bool finite = true;
        const float most = absolute_maximum(w, row * cols, (row + 1) * cols, finite);
        if (!finite) {
          all_finite = false;
          continue;
        }
        const float inverse = most > 0 ? largest / most : 0.0f;
        out.scales[row] = most / largest;
        for (size_t i = row * cols; i < (row + 1) * cols; ++i) {
          const float x = math::element(w.data, w.dtype, i) * inverse;
          out.data[i] = fp8 ? math::to_e4m3(x) : uint8_t(int8_t(std::clamp(std::nearbyintf(x), -127.0f, 127.0f)));
        }
      }
    });
    out.matrix = {out.data.data(), fp8 ? Dtype::fp8 : Dtype::int8, w.rows, w.cols, out.scales.data()};
  } else {
    out.data.resize((n + 1) / 2);
    out.scales.resize((n + kNf4Block - 1) / kNf4Block);
    in_parallel(n, kNf4Block, [&](size_t begin, size_t end) {
      for (size_t block = begin; block < end; block += kNf4Block) {
        bool finite = true;
        const size_t stop = std::min(end, block + kNf4Block);
        const float most = absolute_maximum(w, block, stop, finite);
        if (!finite) {
          all_finite = false;
          continue;
        }
        const float inverse = most > 0 ? 1.0f / most : 0.0f;
        out.scales[block / kNf4Block] = most;
        for (size_t i = block; i < stop; ++i) {
          const uint8_t code = nearest_nf4(math::element(w.data, w.dtype, i) * inverse);
          out.data[i / 2] |= uint8_t(i % 2 ? code : code << 4);
        }
      }
    });
    out.matrix = {out.data.data(), Dtype::code4, w.rows, w.cols, out.scales.data(), kNf4, kNf4Block};
  }
  if (!all_finite) throw EngineError("model_corrupt", "a weight to be quantized holds a value that is not finite");
  return out;
}

}  // namespace longhaul
