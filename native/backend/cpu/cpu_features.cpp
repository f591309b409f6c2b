#include "backend/cpu/cpu_features.h"

#if defined(LONGHAUL_X86)
#include <cpuid.h>
#endif

#include <fstream>

namespace longhaul::cpu {

#if defined(LONGHAUL_X86)
namespace {

/** GCC's __builtin_cpu_supports learnt "f16c" late; every processor with AVX2 that is known has it. */
bool has_f16c() {
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

}  // namespace
#endif

bool has_isa(Isa isa) {
  switch (isa) {
#if defined(LONGHAUL_X86)
    case Isa::avx512:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    case Isa::avx512vnni: return has_isa(Isa::avx512) && __builtin_cpu_supports("avx512vnni");
    case Isa::avx512bf16: return has_isa(Isa::avx512vnni) && __builtin_cpu_supports("avx512bf16");
    case Isa::avx2: return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
#else
    case Isa::avx512:
    case Isa::avx512vnni:
    case Isa::avx512bf16:
    case Isa::avx2: return false;
#endif
    default: return true;
  }
}

Isa best_isa() {
  for (const Isa isa : {Isa::avx512bf16, Isa::avx512vnni, Isa::avx512})
    if (has_isa(isa)) return isa;
  if (has_isa(Isa::avx2)) return Isa::avx2;
  return Isa::portable;
}

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::avx512bf16: return "avx512bf16";
    case Isa::avx512vnni: return "avx512vnni";
    case Isa::avx512: return "avx512";
    case Isa::avx2: return "avx2";
    case Isa::portable: return "portable";
    default: return "auto";
  }
}

std::vector<std::string> cpu_features() {
  std::vector<std::string> found;
#if defined(LONGHAUL_X86)
#define LONGHAUL_FEATURE(name) \
  if (__builtin_cpu_supports(name)) found.push_back(name)
  LONGHAUL_FEATURE("sse4.2");
  LONGHAUL_FEATURE("avx");
  LONGHAUL_FEATURE("avx2");
  LONGHAUL_FEATURE("fma");
  LONGHAUL_FEATURE("avx512f");
  LONGHAUL_FEATURE("avx512dq");
  LONGHAUL_FEATURE("avx512bw");
  LONGHAUL_FEATURE("avx512vl");
  LONGHAUL_FEATURE("avx512bf16");
  LONGHAUL_FEATURE("avx512vnni");
#undef LONGHAUL_FEATURE
#endif
  return found;
}

std::string cpu_model() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("model name", 0) != 0) continue;
    const size_t colon = line.find(": ");
    return colon == std::string::npos ? "" : line.substr(colon + 2);
  }
  return "";
}

}  // namespace longhaul::cpu
