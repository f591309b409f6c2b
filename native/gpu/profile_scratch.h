// Random device memory for one kernel to be timed with, and the timing.
#pragma once

#include <functional>
#include <vector>

#include "backend/cuda/kernels.h"
#include "backend/cuda/upload.h"

namespace longhaul {

/** How much trouble is taken. */
struct Effort {
  size_t rotated_bytes;  // copies of what a model would find in memory are made until they have so many
  int least_launches, repeats;
  double least_seconds;  // of one repeat
};

enum class Values { bf16, f32, positive, rates, bytes, e4m3 };

/** Copies of one array, so that a launch does not find in the second-level cache what the last one left there. */
struct Rotating {
  char* base = nullptr;
  size_t stride = 0;
  int copies = 1;
  template <class T = void>
  T* at(int i) const {
    return reinterpret_cast<T*>(base + size_t(i % copies) * stride);
  }
};

/** Random values, made once for each kind. */
class RandomPools {
 public:
  explicit RandomPools(cuda::Uploader& uploader);
  /** `bytes` a multiple of four. */
  void fill(cuda::Stream& stream, void* to, size_t bytes, Values values) const;

 private:
  static constexpr size_t kBytes = size_t(8) << 20;
  std::vector<cuda::DeviceMemory> pools_;
};

class Scratch {
 public:
  Scratch(cuda::Stream& stream, cuda::Uploader& uploader, const RandomPools& pools, const Effort& effort)
      : stream_(stream), uploader_(uploader), pools_(pools), effort_(effort) {}

  /** Weights, states, and activations that no cache holds until they are read. */
  Rotating rotating(size_t bytes, Values values);
  /** Read while it is still in the second-level cache, in a model as here. */
  Rotating kept(size_t bytes, Values values) { return take(bytes, values, 1); }
  /** An activation of so many bytes, which one kernel writes and the next reads. */
  Rotating activation(size_t bytes, Values values) { return bytes > kStaysInCache ? rotating(bytes, values) : kept(bytes, values); }
  template <class T>
  const T* uploaded(const std::vector<T>& host) {
    void* const to = take(host.size() * sizeof(T), Values::bytes, 1).base;
    uploader_.upload(to, host.data(), host.size() * sizeof(T));
    uploader_.finish();
    return static_cast<const T*>(to);
  }

  /** Median microseconds of `launch`, which is called with the number of a copy, from a recorded graph of many. */
  double microseconds(const std::function<void(int)>& launch) const;

  static constexpr size_t kStaysInCache = size_t(8) << 20;

 private:
  Rotating take(size_t bytes, Values values, int copies);

  cuda::Stream& stream_;
  cuda::Uploader& uploader_;
  const RandomPools& pools_;
  const Effort effort_;
  std::vector<cuda::DeviceMemory> memory_;
  int most_copies_ = 1;
};

}  // namespace longhaul
