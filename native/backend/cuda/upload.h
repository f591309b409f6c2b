// Host memory to the device and back, through two page-locked buffers in turn: one is filled while the other travels.
#pragma once

#include <algorithm>
#include <cstring>

#include "backend/cuda/runtime.h"

namespace longhaul::cuda {

class Uploader {
 public:
  explicit Uploader(size_t buffer_bytes) : bytes_(buffer_bytes) {
    for (PinnedMemory& buffer : buffers_) buffer.reset(allocate_pinned(bytes_));
  }

  /** Returns when `from` may be changed; the device has it after `finish`. */
  void upload(void* to, const void* from, size_t bytes) {
    for (size_t done = 0; done < bytes; turn_ ^= 1) {
      const size_t part = std::min(bytes_, bytes - done);
      streams_[turn_].synchronize();
      std::memcpy(buffers_[turn_].get(), static_cast<const char*>(from) + done, part);
      streams_[turn_].copy(static_cast<char*>(to) + done, buffers_[turn_].get(), part);
      done += part;
    }
  }

  /** Returns when `to` has it. */
  void download(void* to, const void* from, size_t bytes) {
    finish();
    const size_t parts = (bytes + bytes_ - 1) / bytes_;
    const auto size = [&](size_t part) { return std::min(bytes_, bytes - part * bytes_); };
    for (size_t part = 0; part < parts + 1; ++part) {
      if (part < parts)
        streams_[part % 2].copy(buffers_[part % 2].get(), static_cast<const char*>(from) + part * bytes_, size(part));
      if (part == 0) continue;
      streams_[(part - 1) % 2].synchronize();
      std::memcpy(static_cast<char*>(to) + (part - 1) * bytes_, buffers_[(part - 1) % 2].get(), size(part - 1));
    }
  }

  void zero(void* memory, size_t bytes) {
    streams_[0].zero(memory, bytes);
    streams_[0].synchronize();
  }

  void finish() {
    for (Stream& stream : streams_) stream.synchronize();
  }

 private:
  const size_t bytes_;
  PinnedMemory buffers_[2];
  Stream streams_[2];
  int turn_ = 0;
};

}  // namespace longhaul::cuda
