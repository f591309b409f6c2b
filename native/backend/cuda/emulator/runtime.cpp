// runtime.h on the host: one device, work done at once, graphs as lists of it.
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <new>

#include "backend/cuda/runtime.h"

namespace longhaul::cuda {

struct Graph::Impl {
  std::vector<std::function<void()>> work;
};

namespace {
std::atomic<size_t> taken{0};
}

int device_count(std::string&) { return 1; }
void use_device(int) {}
DeviceFacts device_facts(int) { return {"emulated", "sm_0", 1, size_t(4) << 30, size_t(3) << 30}; }

size_t allocations() { return taken; }

/** Filled with NaN: what nobody wrote shows. */
void* allocate_device(size_t bytes) {
  ++taken;
  void* memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  if (!memory) throw std::bad_alloc();
  std::memset(memory, 0xff, bytes);
  return memory;
}
void free_device(void* memory) noexcept { std::free(memory); }
void* allocate_pinned(size_t bytes) { return allocate_device(bytes); }
void free_pinned(void* memory) noexcept { std::free(memory); }

Graph::Graph(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Graph::Graph(Graph&&) noexcept = default;
Graph::~Graph() = default;

Stream::Stream() = default;
Stream::~Stream() = default;

void Stream::enqueue(std::function<void()> work) {
  if (recording_)
    recording_->push_back(std::move(work));
  else
    work();
}

void Stream::copy(void* to, const void* from, size_t bytes) {
  enqueue([=] { std::memcpy(to, from, bytes); });
}
void Stream::zero(void* memory, size_t bytes) {
  enqueue([=] { std::memset(memory, 0, bytes); });
}
void Stream::synchronize() {
  if (recording_) throw DeviceError("synchronize: the stream is being recorded");
}
void Stream::wait_for(Stream&) {}

Graph Stream::record(const std::function<void()>& body) {
  auto impl = std::make_unique<Graph::Impl>();
  recording_ = &impl->work;
  try {
    body();
  } catch (...) {
    recording_ = nullptr;
    throw;
  }
  recording_ = nullptr;
  return Graph(std::move(impl));
}
void Stream::run(const Graph& graph) {
  for (const auto& work : graph.impl().work) work();
}

float time_on(Stream&, const std::function<void()>& body) {
  const auto began = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<float, std::milli>(std::chrono::steady_clock::now() - began).count();
}

}  // namespace longhaul::cuda
