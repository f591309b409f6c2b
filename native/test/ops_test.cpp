// Every op on every instruction set: portable against plain double arithmetic, the others against portable, bit for bit,
// with one thread and with three. Prints one line a case: `ok|not ok NAME` or `skip NAME: reason`; exits 1 on failure.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <random>

#include "backend/cpu/cpu_features.h"
#include "backend/cpu/kernels.h"
#include "backend/math/convert.h"
#include "engine/philox.h"
#include "test/op_cases.h"

namespace longhaul {
namespace {

using namespace op_cases;

int failures = 0;
uint64_t digest = 0xcbf29ce484222325;  // FNV-1a

void digest_of(const Floats& values) {
  for (const float x : values) digest = (digest ^ uint32_t(math::float_bits(x))) * 0x100000001b3;
}

void report(bool ok, const std::string& name, const std::string& detail = "") {
  std::printf("%s %s%s%s\n", ok ? "ok" : "not ok", name.c_str(), detail.empty() ? "" : " # ", detail.c_str());
  failures += !ok;
}

void test_ops() {
  for (const Case& c : cases()) {
    const Floats expected = c.run(*create_cpu_backend(1, Isa::portable, c.activations));
    digest_of(expected);
    const Doubles reference = c.reference();
    double worst = reference.size() == expected.size() ? 0 : INFINITY;
    for (size_t i = 0; i < expected.size() && worst < INFINITY; ++i) {
      const double error = std::fabs(expected[i] - reference[i]);
      worst = error <= worst ? worst : error;  // NaN sticks
    }
    char detail[64];
    std::snprintf(detail, sizeof detail, "error %.1e, allowed %.1e", worst, c.tolerance);
    report(worst <= c.tolerance, "portable = double: " + c.name, detail);
    for (const Isa isa : {Isa::portable, Isa::avx2, Isa::avx512, Isa::avx512vnni, Isa::avx512bf16})
      for (const int threads : {1, 3}) {
        if (!cpu::has_isa(isa)) continue;
        const Floats found = c.run(*create_cpu_backend(threads, isa, c.activations));
        const bool same = found.size() == expected.size() && !std::memcmp(found.data(), expected.data(), 4 * found.size());
        report(same, std::string(cpu::isa_name(isa)) + " = portable, " + std::to_string(threads) + " threads: " + c.name);
      }
  }
}

struct Function {
  const char* name;
  float low, high;
  double (*exact)(double);
  double ulps;
};

const Function functions[] = {
    {"exp2", -126.0f, 0.0f, [](double x) { return std::exp2(x); }, 1.0},
    {"exp", -87.0f, 88.0f, [](double x) { return std::exp(x); }, 1.0},
    {"log", 1e-6f, 1e6f, [](double x) { return std::log(x); }, 1.0},
    {"log1p", 0.0f, 1.0f, [](double x) { return std::log1p(x); }, 2.0},
    {"silu", -40.0f, 40.0f, [](double x) { return x * sigmoid(x); }, 3.0},
    {"softplus", -80.0f, 40.0f, [](double x) { return softplus(x); }, 2.0},
};

const cpu::Kernels* kernels([[maybe_unused]] Isa isa) {
#if defined(LONGHAUL_X86)
  if (isa == Isa::avx512) return &cpu::kAvx512Kernels;
  if (isa == Isa::avx2) return &cpu::kAvx2Kernels;
#endif
  return &cpu::kPortableKernels;
}

void test_math() {
  constexpr int kCount = 1 << 18;
  for (int f = 0; f < 6; ++f) {
    const Function& function = functions[f];
    Floats x(kCount), expected(kCount);
    for (int i = 0; i < kCount; ++i) x[i] = float(function.low + (double(function.high) - function.low) * i / (kCount - 1));
    // Small magnitudes too, where relative error matters most.
    if (function.low <= 0)
      for (int i = 0; i < kCount / 4; ++i) x[i * 4] = (function.high > 0 ? 1.0f : -1.0f) * std::ldexp(1.0f + float(i & 255) / 256, -(i >> 8) % 60);
    cpu::kPortableKernels.elementwise(f, x.data(), expected.data(), kCount);
    double worst = 0;
    for (int i = 0; i < kCount; ++i) {
      const double exact = function.exact(x[i]);
      const double ulp = std::ldexp(1.0, std::max(-126, std::ilogb(float(exact))) - 23);
      if (exact != 0) worst = std::max(worst, std::fabs(expected[i] - exact) / ulp);
    }
    char detail[64];
    std::snprintf(detail, sizeof detail, "%.2f ulp, allowed %.1f", worst, function.ulps);
    report(worst <= function.ulps, std::string("accuracy of ") + function.name, detail);
    for (const Isa isa : {Isa::avx2, Isa::avx512}) {
      if (!cpu::has_isa(isa)) continue;
      Floats found(kCount);
      kernels(isa)->elementwise(f, x.data(), found.data(), kCount);
      report(!std::memcmp(found.data(), expected.data(), 4 * kCount), std::string(cpu::isa_name(isa)) + " = portable: " + function.name);
    }
  }
}

/** Known answers of the Random123 distribution. */
void test_philox() {
  using Words = std::array<uint32_t, 4>;
  const uint32_t ones = 0xffffffffu;
  report(philox4x32({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}, "philox4x32-10 of zeros");
  report(philox4x32({ones, ones, ones, ones}, {ones, ones}) == Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
         "philox4x32-10 of ones");
  report(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
             Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1},
         "philox4x32-10 of pi");
}

/** Every f16 and bf16 value against arithmetic on its fields. */
void test_conversions() {
  bool same = true;
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    if (exponent == 31) continue;
    const double magnitude = exponent ? std::ldexp(1024 + mantissa, exponent - 25) : std::ldexp(mantissa, -24);
    same &= math::from_f16(uint16_t(bits)) == float(bits >> 15 ? -magnitude : magnitude);
  }
  report(same, "every finite f16 is upcast exactly");
}

}  // namespace
}  // namespace longhaul

int main(int argc, char**) {
  using namespace longhaul;
  for (const Isa isa : {Isa::avx2, Isa::avx512, Isa::avx512vnni, Isa::avx512bf16})
    if (!cpu::has_isa(isa)) std::printf("skip %s: this processor or build has no %s\n", cpu::isa_name(isa), cpu::isa_name(isa));
  test_math();
  test_philox();
  test_conversions();
  test_ops();
  // With any argument: one number over all results of the portable kernels, to compare machines by.
  if (argc > 1) std::printf("digest %016llx\n", static_cast<unsigned long long>(digest));
  return failures ? 1 : 0;
}
