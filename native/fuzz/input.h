// The bytes of one run as a stream of choices; zeros follow the end, so that every prefix is an input too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace longhaul::fuzz {

class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}

  uint8_t byte() { return at_ < size_ ? data_[at_++] : 0; }
  bool flag() { return byte() & 1; }
  /** In [low, high]; high - low < 65536. */
  int between(int low, int high) {
    const int value = byte() | byte() << 8;
    return low + value % (high - low + 1);
  }
  template <class T>
  T raw() {
    T out{};
    for (size_t i = 0; i < sizeof out; ++i) reinterpret_cast<uint8_t*>(&out)[i] = byte();
    return out;
  }
  bool empty() const { return at_ >= size_; }

 private:
  const uint8_t* data_;
  size_t size_, at_ = 0;
};

/** One run: a result or an error of the engine's own; anything else ends the process. */
void run(Input input);

}  // namespace longhaul::fuzz
