// The part of the CUDA runtime that the backend uses, with every call checked: runtime.cpp on a device, emulator/runtime.cpp
// on the host. A failure is an error that says what was asked; the device's own errors are sticky, so no call after one
// succeeds.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#if defined(LONGHAUL_CUDA_RUNTIME)
#include <cuda_runtime_api.h>
#else
#include "backend/cuda/emulator/launches.h"
#endif

namespace longhaul::cuda {

/** A device that cannot be used any more, or that misbehaved: whoever gets this must not trust the engine's states. */
class DeviceError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/** Says what was asked for, and what there was. */
class OutOfMemory : public std::bad_alloc {
 public:
  explicit OutOfMemory(std::string what) : what_(std::move(what)) {}
  const char* what() const noexcept override { return what_.c_str(); }

 private:
  std::string what_;
};

struct DeviceFacts {
  std::string name, architecture;  // "NVIDIA H200", "sm_90"
  int capability;  // 10 major + minor
  int multiprocessors;
  size_t total_bytes, free_bytes;
};

/** 0 where there is none; `reason` then says why. Never throws. */
int device_count(std::string& reason);
/** Makes `index` this thread's device. */
void use_device(int index);
DeviceFacts device_facts(int index);

/** Device and page-locked memory taken by this process so far: how often. */
size_t allocations();
/** Device memory, its content undefined; throws OutOfMemory. */
void* allocate_device(size_t bytes);
void free_device(void* memory) noexcept;
/** Page-locked host memory, which the device can copy from and to by itself. */
void* allocate_pinned(size_t bytes);
void free_pinned(void* memory) noexcept;

template <void (*Free)(void*) noexcept>
struct Freed {
  void operator()(void* memory) const noexcept { Free(memory); }
};
using DeviceMemory = std::unique_ptr<void, Freed<free_device>>;
using PinnedMemory = std::unique_ptr<void, Freed<free_pinned>>;

/** What was recorded of a stream, to be run again as one. */
class Graph {
 public:
  struct Impl;
  explicit Graph(std::unique_ptr<Impl> impl);
  Graph(Graph&&) noexcept;
  ~Graph();
  Impl& impl() const { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

/** Work in order. Not for several threads at once. */
class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;

  /** Host memory must be pinned, and left alone until the copy is done. */
  void copy(void* to, const void* from, size_t bytes);
  void zero(void* memory, size_t bytes);
  /** Waits until all is done; throws DeviceError if any of it failed. */
  void synchronize();
  /** Whether kernels that can may begin before the launch before them has ended (launch.h): if the device can too. Off at first. */
  void let_overlap(bool allowed);
  bool overlaps() const { return overlaps_; }
  /** Work given to this stream from now on starts after what `other` has been given so far. */
  void wait_for(Stream& other);

  /** What `body` gives to this stream is recorded, not run. */
  Graph record(const std::function<void()>& body);
  void run(const Graph& graph);

#if defined(LONGHAUL_CUDA_RUNTIME)
  cudaStream_t handle() const { return handle_; }

 private:
  cudaStream_t handle_ = nullptr;
  cudaEvent_t event_ = nullptr;
#else
  void enqueue(emulator::Work work);

 private:
  std::vector<emulator::Work>* recording_ = nullptr;
  emulator::Launches launches_;
#endif
  bool overlaps_ = false;
};

/** A point in the order of a stream's work. */
class Event {
 public:
  Event();
  ~Event();
  Event(const Event&) = delete;
  void record(Stream& stream);
  /** Any thread: waits for the work that the stream had been given before the last `record`; not at all without one. */
  void synchronize();

#if defined(LONGHAUL_CUDA_RUNTIME)
 private:
  cudaEvent_t handle_ = nullptr;
#endif
};

/** Milliseconds of what `body` gives to the stream, by the device's own clock. */
float time_on(Stream& stream, const std::function<void()>& body);

#if defined(LONGHAUL_CUDA_RUNTIME)
void check(cudaError_t error, const char* what);
#endif

}  // namespace longhaul::cuda
