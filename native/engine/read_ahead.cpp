#include "engine/read_ahead.h"

#include <algorithm>
#include <atomic>
#include <utility>

namespace longhaul {
namespace {

/** Ranges that wait to be taken; pieces of one range that threads read at once, and how many. */
constexpr size_t kAhead = 2;
constexpr uint64_t kPiece = uint64_t(4) << 20;
constexpr uint64_t kReaders = 4;

}  // namespace

ReadAhead::ReadAhead(std::vector<Range> order, Read read) : order_(std::move(order)), read_(std::move(read)), thread_([this] { run(); }) {}

ReadAhead::~ReadAhead() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

const char* ReadAhead::take(const Range& wanted) {
  std::unique_lock lock(mutex_);
  if (next_ == order_.size() || !(order_[next_] == wanted)) {
    lock.unlock();
    fill(wanted, held_);
    return held_.data();
  }
  ++next_;
  changed_.wait(lock, [this] { return !filled_.empty(); });
  spare_.push_back(std::move(held_));
  const std::exception_ptr failure = filled_.front().failure;
  held_ = std::move(filled_.front().bytes);
  filled_.pop_front();
  lock.unlock();
  changed_.notify_all();
  if (failure) std::rethrow_exception(failure);
  return held_.data();
}

void ReadAhead::run() {
  for (const Range& range : order_) {
    Filled filled{range, {}, nullptr};
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return ending_ || filled_.size() < kAhead; });
      if (ending_) return;
      if (!spare_.empty()) {
        filled.bytes = std::move(spare_.back());
        spare_.pop_back();
      }
    }
    try {
      fill(range, filled.bytes);
    } catch (...) {
      filled.failure = std::current_exception();
    }
    {
      const std::lock_guard lock(mutex_);
      filled_.push_back(std::move(filled));
    }
    changed_.notify_all();
  }
}

void ReadAhead::fill(const Range& range, std::vector<char>& out) const {
  out.resize(range.bytes);
  const uint64_t pieces = (range.bytes + kPiece - 1) / kPiece;
  std::atomic<uint64_t> at{0};
  std::mutex mutex;
  std::exception_ptr failure;
  const auto read = [&] {
    for (uint64_t piece; (piece = at++) < pieces;) {
      const uint64_t begin = piece * kPiece;
      try {
        read_(range.file, range.offset + begin, std::min(kPiece, range.bytes - begin), out.data() + begin);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!failure) failure = std::current_exception();
        return;
      }
    }
  };
  std::vector<std::thread> others;
  for (uint64_t i = 1; i < std::min(kReaders, pieces); ++i) others.emplace_back(read);
  read();
  for (std::thread& other : others) other.join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace longhaul
