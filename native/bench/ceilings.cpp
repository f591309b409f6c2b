// What this machine can do at most: memory bandwidth and the multiply-add rates that matrix products are measured by.
// Usage: ceilings THREADS. Prints one JSON object; a figure is null where the processor lacks the instruction.
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <sys/mman.h>
#if defined(__linux__)
#include <sched.h>
#endif

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <thread>
#include <vector>

namespace {

constexpr int kRuns = 5;
constexpr size_t kBytes = size_t(1) << 30;

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/** Pins the calling thread to the t-th of the cores that this process may use, so that two never share one. */
void pin(int t) {
#if defined(__linux__)
  cpu_set_t allowed, one;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  for (int cpu = 0, seen = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &allowed) && seen++ == t) {
      CPU_ZERO(&one);
      CPU_SET(cpu, &one);
      sched_setaffinity(0, sizeof one, &one);
      return;
    }
#else
  (void)t;
#endif
}

/** Median rate in 1e9 a second of `amount` units done by all threads together. */
double rate(int threads, double amount, const std::function<void(int)>& body) {
  std::vector<double> rates;
  for (int run = 0; run <= kRuns; ++run) {
    std::atomic<int> waiting{threads};
    std::vector<double> began(threads), ended(threads);
    std::vector<std::thread> all;
    for (int t = 0; t < threads; ++t)
      all.emplace_back([&, t] {
        pin(t);
        for (--waiting; waiting > 0;) std::this_thread::yield();
        began[t] = seconds();
        body(t);
        ended[t] = seconds();
      });
    for (std::thread& thread : all) thread.join();
    const double took = *std::max_element(ended.begin(), ended.end()) - *std::min_element(began.begin(), began.end());
    if (run > 0) rates.push_back(amount / took / 1e9);
  }
  std::sort(rates.begin(), rates.end());
  return rates[kRuns / 2];
}

volatile uint64_t sink;

/** Adds up n words, eight vectors in flight; n is a multiple of 64. */
#if defined(__x86_64__)
__attribute__((target("avx2")))
#endif
uint64_t sum_words(const uint64_t* from, size_t n) {
  typedef uint64_t Vector __attribute__((vector_size(32)));
  Vector sums[8] = {};
  const Vector* const vectors = reinterpret_cast<const Vector*>(from);
#pragma GCC unroll 2
  for (size_t i = 0; i < n / 4; i += 8) {
    sums[0] += vectors[i];
    sums[1] += vectors[i + 1];
    sums[2] += vectors[i + 2];
    sums[3] += vectors[i + 3];
    sums[4] += vectors[i + 4];
    sums[5] += vectors[i + 5];
    sums[6] += vectors[i + 6];
    sums[7] += vectors[i + 7];
  }
  uint64_t all = 0;
  for (const Vector& sum : sums) all += sum[0] + sum[1] + sum[2] + sum[3];
  return all;
}

double read_bandwidth(int threads) {
  uint64_t* const words = static_cast<uint64_t*>(std::aligned_alloc(2 << 20, kBytes));
  if (!words) return 0;
#if defined(MADV_HUGEPAGE)
  madvise(words, kBytes, MADV_HUGEPAGE);
#endif
  for (size_t i = 0; i < kBytes / 8; ++i) words[i] = i;
  const size_t n = kBytes / 8 / threads / 64 * 64;
  const double found = rate(threads, double(n) * 8 * threads, [&](int t) { sink = sum_words(words + t * n, n); });
  std::free(words);
  return found;
}

#if defined(__x86_64__)
constexpr int64_t kIterations = 20000000;

// Twelve independent chains of one instruction on registers.
#define LONGHAUL_CHAINS(op)                                                                                          \
  for (int64_t i = 0; i < kIterations; ++i)                                                                          \
    __asm__ volatile(op " %%zmm12, %%zmm13, %%zmm0\n" op " %%zmm12, %%zmm13, %%zmm1\n" op " %%zmm12, %%zmm13, %%zmm2\n" \
                     op " %%zmm12, %%zmm13, %%zmm3\n" op " %%zmm12, %%zmm13, %%zmm4\n" op " %%zmm12, %%zmm13, %%zmm5\n" \
                     op " %%zmm12, %%zmm13, %%zmm6\n" op " %%zmm12, %%zmm13, %%zmm7\n" op " %%zmm12, %%zmm13, %%zmm8\n" \
                     op " %%zmm12, %%zmm13, %%zmm9\n" op " %%zmm12, %%zmm13, %%zmm10\n" op " %%zmm12, %%zmm13, %%zmm11\n" ::: \
                     "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",  \
                     "xmm12", "xmm13")
__attribute__((target("avx512f"))) void zero_registers() {
  __asm__ volatile(
      "vpxord %%zmm0,%%zmm0,%%zmm0\nvpxord %%zmm1,%%zmm1,%%zmm1\nvpxord %%zmm2,%%zmm2,%%zmm2\nvpxord %%zmm3,%%zmm3,%%zmm3\n"
      "vpxord %%zmm4,%%zmm4,%%zmm4\nvpxord %%zmm5,%%zmm5,%%zmm5\nvpxord %%zmm6,%%zmm6,%%zmm6\nvpxord %%zmm7,%%zmm7,%%zmm7\n"
      "vpxord %%zmm8,%%zmm8,%%zmm8\nvpxord %%zmm9,%%zmm9,%%zmm9\nvpxord %%zmm10,%%zmm10,%%zmm10\nvpxord %%zmm11,%%zmm11,%%zmm11\n"
      "vpxord %%zmm12,%%zmm12,%%zmm12\nvpxord %%zmm13,%%zmm13,%%zmm13\n" ::: "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",
      "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13");
}
__attribute__((target("avx512f"))) void fma_chains() { zero_registers(); LONGHAUL_CHAINS("vfmadd231ps"); }
__attribute__((target("avx512f,avx512bf16"))) void bf16_chains() { zero_registers(); LONGHAUL_CHAINS("vdpbf16ps"); }
__attribute__((target("avx512f,avx512vnni"))) void int8_chains() { zero_registers(); LONGHAUL_CHAINS("vpdpbusd"); }
__attribute__((target("avx2,fma"))) void fma_chains_avx2() {
  for (int64_t i = 0; i < kIterations; ++i)
    __asm__ volatile(
        "vfmadd231ps %%ymm12,%%ymm13,%%ymm0\nvfmadd231ps %%ymm12,%%ymm13,%%ymm1\nvfmadd231ps %%ymm12,%%ymm13,%%ymm2\n"
        "vfmadd231ps %%ymm12,%%ymm13,%%ymm3\nvfmadd231ps %%ymm12,%%ymm13,%%ymm4\nvfmadd231ps %%ymm12,%%ymm13,%%ymm5\n"
        "vfmadd231ps %%ymm12,%%ymm13,%%ymm6\nvfmadd231ps %%ymm12,%%ymm13,%%ymm7\nvfmadd231ps %%ymm12,%%ymm13,%%ymm8\n"
        "vfmadd231ps %%ymm12,%%ymm13,%%ymm9\nvfmadd231ps %%ymm12,%%ymm13,%%ymm10\nvfmadd231ps %%ymm12,%%ymm13,%%ymm11\n" ::: "xmm0",
        "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13");
}
#endif

void print(const char* name, double value, const char* end) {
  if (value > 0)
    std::printf("\"%s\": %.2f%s", name, value, end);
  else
    std::printf("\"%s\": null%s", name, end);
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
  if (threads < 1 || threads > 64) return std::fprintf(stderr, "usage: ceilings THREADS (1 to 64)\n"), 2;
  double f32 = 0, bf16 = 0, int8 = 0;
#if defined(__x86_64__)
  const double lanes = 12.0 * kIterations * threads;
  if (__builtin_cpu_supports("avx512f"))
    f32 = rate(threads, 2 * 16 * lanes, [](int) { fma_chains(); });
  else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    f32 = rate(threads, 2 * 8 * lanes, [](int) { fma_chains_avx2(); });
  if (__builtin_cpu_supports("avx512bf16")) bf16 = rate(threads, 2 * 32 * lanes, [](int) { bf16_chains(); });
  if (__builtin_cpu_supports("avx512vnni")) int8 = rate(threads, 2 * 64 * lanes, [](int) { int8_chains(); });
#endif
  std::printf("{\"threads\": %d, ", threads);
  double read = 0;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) read = read_bandwidth(threads);
#else
  read = read_bandwidth(threads);
#endif
  print("readGBs", read, ", ");
  print("f32GFLOPs", f32, ", ");
  print("bf16GFLOPs", bf16, ", ");
  print("int8GOPs", int8, "}\n");
}
