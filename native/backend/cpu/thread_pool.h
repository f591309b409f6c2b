// A persistent pool that runs numbered tasks; the calling thread takes part.
//
// Tasks are claimed one by one, so a core that other processes are using holds up at most its own task. Idle workers
// spin briefly, then sleep. One caller at a time.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace longhaul::cpu {

class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return int(workers_.size()) + 1; }

  /** Calls body(task) for every task in [0, tasks); returns when all are done. `body` must not throw. */
  template <class Body>
  void run(int tasks, const Body& body) {
    if (tasks <= 1 || workers_.empty()) {
      for (int task = 0; task < tasks; ++task) body(task);
      return;
    }
    run_shared(tasks, [](const void* context, int task) { (*static_cast<const Body*>(context))(task); }, &body);
  }

 private:
  using Function = void (*)(const void*, int);
  void run_shared(int tasks, Function function, const void* context);
  void work();
  bool run_one();

  // Job number (24 bits), task count (20), next task (20): a claim that succeeds belongs to the job it read.
  std::atomic<uint64_t> ticket_{0};
  std::atomic<int32_t> job_{0};
  std::atomic<int32_t> done_{0};
  std::atomic<bool> stop_{false};
  Function function_ = nullptr;
  const void* context_ = nullptr;
  std::vector<std::thread> workers_;
};

}  // namespace longhaul::cpu
