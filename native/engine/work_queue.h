// One thread that runs work in the order it was posted: everything that touches session states.
//
// Work names the slots it touches. Moves, which only copy or clear states, do not wait for a long step that touches
// other slots: the step calls `give_way` again and again, and what runs there could as well have run before it.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

namespace longhaul {

class WorkQueue {
 public:
  enum class Kind { step, move, last };  // nothing overtakes `last`

  WorkQueue() : thread_([this] { run(); }) {}
  ~WorkQueue() { join(); }

  /** Shut until `open`: work behind it, and what is posted later for its slots, waits. */
  using Gate = std::shared_ptr<bool>;
  static Gate shut_gate() { return std::make_shared<bool>(false); }
  /** Any thread. */
  void open(const Gate& gate) {
    const std::lock_guard lock(mutex_);
    *gate = true;
    ready_.notify_one();
  }

  void post(Kind kind, std::vector<int> slots, std::function<void()> run, Gate gate = nullptr) {
    {
      const std::lock_guard lock(mutex_);
      queue_.push_back({kind, std::move(slots), std::move(run), std::move(gate)});
    }
    ready_.notify_one();
  }

  /** From inside running work: runs the moves behind it that touch no slot of it, nor of work before them. */
  void give_way() {
    std::vector<Work> moves;
    {
      const std::lock_guard lock(mutex_);
      if (queue_.empty()) return;
      std::unordered_set<int> held(running_.begin(), running_.end());
      const auto is_held = [&](int slot) { return held.count(slot) > 0; };
      for (auto work = queue_.begin(); work != queue_.end() && work->kind != Kind::last;) {
        if (work->kind == Kind::move && work->open() && std::none_of(work->slots.begin(), work->slots.end(), is_held)) {
          moves.push_back(std::move(*work));
          work = queue_.erase(work);
        } else {
          held.insert(work->slots.begin(), work->slots.end());
          ++work;
        }
      }
    }
    for (const Work& move : moves) move.run();
  }

  /** Finishes what was posted, then ends the thread. Idempotent; not from the thread itself. */
  void join() {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    ready_.notify_one();
    if (thread_.joinable()) thread_.join();
  }

 private:
  struct Work {
    Kind kind;
    std::vector<int> slots;
    std::function<void()> run;
    Gate gate;  // or null
    bool open() const { return !gate || *gate; }
  };

  void run() {
    for (;;) {
      Work work;
      {
        std::unique_lock lock(mutex_);
        auto next = queue_.end();
        ready_.wait(lock, [&] { return (next = first_runnable()) != queue_.end() || (ending_ && queue_.empty()); });
        if (next == queue_.end()) return;
        work = std::move(*next);
        queue_.erase(next);
        running_ = std::move(work.slots);
      }
      work.run();
    }
  }

  /** What is first, but for work whose gate is shut and what must stay behind it. */
  std::deque<Work>::iterator first_runnable() {
    std::unordered_set<int> held;
    for (auto work = queue_.begin(); work != queue_.end(); ++work) {
      if (work->kind == Kind::last) return held.empty() ? work : queue_.end();
      const bool waits = std::any_of(work->slots.begin(), work->slots.end(), [&](int slot) { return held.count(slot) > 0; });
      if (work->open() && !waits) return work;
      held.insert(work->slots.begin(), work->slots.end());
    }
    return queue_.end();
  }

  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<Work> queue_;
  std::vector<int> running_;  // slots of the work that runs
  bool ending_ = false;
  std::thread thread_;  // last: starts when the rest is ready
};

}  // namespace longhaul
