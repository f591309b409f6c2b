// Reads ranges of a checkpoint's files in the order they will be wanted, ahead of whoever packs them.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace longhaul {

class ReadAhead {
 public:
  struct Range {
    int file;
    uint64_t offset, bytes;
    bool operator==(const Range& other) const { return file == other.file && offset == other.offset && bytes == other.bytes; }
  };
  /** Any thread, several at once. */
  using Read = std::function<void(int file, uint64_t offset, uint64_t bytes, char* out)>;

  ReadAhead(std::vector<Range> order, Read read);
  ~ReadAhead();

  /** The bytes of `wanted`, valid until the next call; throws what reading them threw. What is not the next of the order is read now. */
  const char* take(const Range& wanted);

 private:
  struct Filled {
    Range range;
    std::vector<char> bytes;
    std::exception_ptr failure;
  };
  void run();
  void fill(const Range& range, std::vector<char>& out) const;

  const std::vector<Range> order_;
  const Read read_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Filled> filled_;
  std::vector<std::vector<char>> spare_;  // buffers to fill again
  std::vector<char> held_;                // what was taken last
  size_t next_ = 0;                       // of the order, to be taken
  bool ending_ = false;
  std::thread thread_;  // last: starts when the rest is ready
};

}  // namespace longhaul
