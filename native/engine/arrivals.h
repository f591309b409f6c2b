// Files that are still being written: which of their parts may be read, told by one thread and waited for by others.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "engine/error.h"

namespace longhaul {

class Arrivals {
 public:
  Arrivals(uint64_t part_bytes, size_t files) : part_bytes_(part_bytes), parts_(files) {}

  void arrived(size_t file, uint64_t part) {
    {
      const std::lock_guard lock(mutex_);
      std::vector<bool>& there = parts_.at(file);
      if (there.size() <= part) there.resize(part + 1);
      there[part] = true;
    }
    changed_.notify_all();
  }

  /** Nothing more will come. The first call's message is what those who wait get. */
  void fail(const std::string& message) {
    {
      const std::lock_guard lock(mutex_);
      if (failed_) return;
      failed_ = true;
      message_ = message;
    }
    changed_.notify_all();
  }

  /** Returns when bytes [offset, offset + bytes) of the file may be read; throws model_incomplete with what `fail` was told. */
  void wait(size_t file, uint64_t offset, uint64_t bytes) {
    if (bytes == 0) return;
    const uint64_t last = (offset + bytes - 1) / part_bytes_;
    uint64_t next = offset / part_bytes_;
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] {
      const std::vector<bool>& there = parts_.at(file);
      while (next <= last && next < there.size() && there[next]) ++next;
      return next > last || failed_;
    });
    if (next <= last) throw EngineError("model_incomplete", message_);
  }

 private:
  const uint64_t part_bytes_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::vector<bool>> parts_;  // by file
  bool failed_ = false;
  std::string message_;
};

}  // namespace longhaul
