#include "engine/row_scan.h"

#include <algorithm>
#include <limits>

#include "backend/math/exp_log.h"
#include "backend/math/fixed_weight.h"

namespace longhaul {
namespace {

constexpr float kNothing = -std::numeric_limits<float>::infinity();

// Each pass over `n` values; n is a multiple of kStride for the maxima.
LONGHAUL_HD bool run_maxima(const float* z, int n, float* maxima) {
  float best[kStride];
  int numbers[kStride];
  for (int g = 0; g < kStride; ++g) best[g] = kNothing, numbers[g] = 1;
  for (int i = 0; i < n; i += kStride)
    for (int g = 0; g < kStride; ++g) {
      best[g] = z[i + g] > best[g] ? z[i + g] : best[g];
      numbers[g] &= z[i + g] == z[i + g];
    }
  int all = 1;
  for (int g = 0; g < kStride; ++g) maxima[g] = best[g], all &= numbers[g];
  return all;
}

LONGHAUL_HD void run_scale(float* z, int n, float shift, float divisor) {
  for (int i = 0; i < n; ++i) z[i] = (z[i] - shift) / divisor;
}

LONGHAUL_HD void run_exp(const float* x, int n, float* out) {
  for (int i = 0; i < n; ++i) out[i] = math::exp(x[i]);
}

struct Passes {
  bool (*maxima)(const float*, int, float*);
  void (*scale)(float*, int, float, float);
  void (*exp)(const float*, int, float*);
};

bool maxima_plain(const float* z, int n, float* out) { return run_maxima(z, n, out); }
void scale_plain(float* z, int n, float shift, float divisor) { run_scale(z, n, shift, divisor); }
void exp_plain(const float* x, int n, float* out) { run_exp(x, n, out); }

#if defined(__x86_64__)
#define LONGHAUL_WIDE __attribute__((target("avx2,fma")))
LONGHAUL_WIDE bool maxima_wide(const float* z, int n, float* out) { return run_maxima(z, n, out); }
LONGHAUL_WIDE void scale_wide(float* z, int n, float shift, float divisor) { run_scale(z, n, shift, divisor); }
LONGHAUL_WIDE void exp_wide(const float* x, int n, float* out) { run_exp(x, n, out); }
#endif

const Passes& passes() {
  static const Passes chosen = [] {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
      return Passes{maxima_wide, scale_wide, exp_wide};
#endif
    return Passes{maxima_plain, scale_plain, exp_plain};
  }();
  return chosen;
}

}  // namespace

bool strided_maxima(const float* z, int n, std::vector<float>& maxima) {
  maxima.resize(size_t((n + kRun - 1) / kRun) * kStride);
  bool numbers = true;
  for (int run = 0; run < n; run += kRun) {
    float* const out = maxima.data() + run / kRun * kStride;
    if (n - run >= kRun) {
      numbers &= passes().maxima(z + run, kRun, out);
      continue;
    }
    float last[kRun];
    std::fill(std::copy(z + run, z + n, last), last + kRun, kNothing);
    numbers &= passes().maxima(last, kRun, out);
  }
  return numbers;
}

void scale(float* z, int n, float shift, float divisor) { passes().scale(z, n, shift, divisor); }

void exp_all(float* x, int n) {
  float part[kRun];
  for (int run = 0; run < n; run += kRun) {
    const int count = std::min(kRun, n - run);
    passes().exp(x + run, count, part);  // apart from x, so that it vectorizes
    std::copy(part, part + count, x + run);
  }
}

uint64_t sum_exp(const float* z, int n) {
  uint64_t sum = 0;
  float part[kRun];
  for (int run = 0; run < n; run += kRun) {
    const int count = std::min(kRun, n - run);
    passes().exp(z + run, count, part);
    for (int i = 0; i < count; ++i) sum += math::fixed_weight(part[i]);
  }
  return sum;
}

}  // namespace longhaul
