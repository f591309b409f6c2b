#include "backend/cpu/thread_pool.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace longhaul::cpu {
namespace {

// About 20 microseconds: longer than the gap between two ops, far shorter than a scheduler's slice.
constexpr int kSpins = 600;
constexpr int kCountBits = 20;
constexpr uint64_t kCountMask = (1u << kCountBits) - 1;

void pause() {
#if defined(__x86_64__)
  _mm_pause();
#else
  std::atomic_signal_fence(std::memory_order_seq_cst);
#endif
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
}

ThreadPool::~ThreadPool() {
  stop_ = true;
  job_.fetch_add(1);
  job_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

bool ThreadPool::run_one() {
  uint64_t ticket = ticket_.load(std::memory_order_acquire);
  const int32_t tasks = int32_t((ticket >> kCountBits) & kCountMask);
  const int32_t task = int32_t(ticket & kCountMask);
  if (task >= tasks) return false;
  if (!ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel)) return true;
  function_(context_, task);
  if (done_.fetch_add(1, std::memory_order_acq_rel) + 1 == tasks) done_.notify_all();
  return true;
}

void ThreadPool::run_shared(int tasks, Function function, const void* context) {
  function_ = function;
  context_ = context;
  done_.store(0, std::memory_order_relaxed);
  const uint64_t job = uint64_t(uint32_t(job_.load(std::memory_order_relaxed)) + 1) & 0xffffff;
  ticket_.store(job << (2 * kCountBits) | uint64_t(tasks) << kCountBits, std::memory_order_release);
  job_.fetch_add(1, std::memory_order_release);
  job_.notify_all();
  while (run_one()) {
  }
  int spins = 0;
  for (int32_t done = done_.load(std::memory_order_acquire); done != tasks; done = done_.load(std::memory_order_acquire)) {
    if (++spins < kSpins)
      pause();
    else
      done_.wait(done, std::memory_order_acquire);
  }
}

void ThreadPool::work() {
  int32_t seen = 0;
  while (!stop_.load(std::memory_order_acquire)) {
    while (run_one()) {
    }
    int spins = 0;
    while (job_.load(std::memory_order_acquire) == seen) {
      if (++spins < kSpins)
        pause();
      else
        job_.wait(seen, std::memory_order_acquire);
    }
    seen = job_.load(std::memory_order_acquire);
  }
}

}  // namespace longhaul::cpu
