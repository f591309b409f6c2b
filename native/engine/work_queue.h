// One thread that runs work in the order it was posted: everything that touches session states.
//
// Work names the slots it touches. Moves, which only copy or clear states, do not wait for a long step that touches
// other slots: the step calls `give_way` again and again, and what runs there could as well have run before it.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <functional>
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

  void post(Kind kind, std::vector<int> slots, std::function<void()> run) {
    {
      const std::lock_guard lock(mutex_);
      queue_.push_back({kind, std::move(slots), std::move(run)});
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
        if (work->kind == Kind::move && std::none_of(work->slots.begin(), work->slots.end(), is_held)) {
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
  };

  void run() {
    for (;;) {
      Work work;
      {
        std::unique_lock lock(mutex_);
        ready_.wait(lock, [this] { return ending_ || !queue_.empty(); });
        if (queue_.empty()) return;
        work = std::move(queue_.front());
        queue_.pop_front();
        running_ = std::move(work.slots);
      }
      work.run();
    }
  }

  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<Work> queue_;
  std::vector<int> running_;  // slots of the work that runs
  bool ending_ = false;
  std::thread thread_;  // last: starts when the rest is ready
};

}  // namespace longhaul
