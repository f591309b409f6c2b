// What the kernels of a block read besides activations, and its way to the device.
#pragma once

#include <cstring>
#include <vector>

#include "backend/cuda/kernels.h"
#include "backend/cuda/runtime.h"

namespace longhaul::cuda {

/** The same layout in pinned and in device memory. */
class Staging {
 public:
  explicit Staging(int rows)
      : tokens_(size_t(rows) * sizeof(int32_t)),
        spans_(size_t(rows) * sizeof(Span)),
        tiles_((size_t(rows) * 2) * sizeof(ConvTile)),
        host_(allocate_pinned(tokens_ + spans_ + tiles_)),
        device_(allocate_device(tokens_ + spans_ + tiles_)) {}

  void send(Stream& stream, const std::vector<int32_t>& tokens, const std::vector<Span>& spans, const std::vector<ConvTile>& tiles) {
    char* const to = static_cast<char*>(host_.get());
    std::memcpy(to, spans.data(), spans.size() * sizeof(Span));
    std::memcpy(to + spans_, tiles.data(), tiles.size() * sizeof(ConvTile));
    std::memcpy(to + spans_ + tiles_, tokens.data(), tokens.size() * sizeof(int32_t));
    stream.copy(device_.get(), host_.get(), spans_ + tiles_ + tokens.size() * sizeof(int32_t));
  }
  size_t bytes() const { return tokens_ + spans_ + tiles_; }
  const Span* spans() const { return static_cast<const Span*>(device_.get()); }
  const ConvTile* tiles() const { return reinterpret_cast<const ConvTile*>(static_cast<const char*>(device_.get()) + spans_); }
  const int32_t* tokens() const { return reinterpret_cast<const int32_t*>(static_cast<const char*>(device_.get()) + spans_ + tiles_); }

 private:
  const size_t tokens_, spans_, tiles_;
  PinnedMemory host_;
  DeviceMemory device_;
};

}  // namespace longhaul::cuda
