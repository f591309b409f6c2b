// runtime.h on the host: one device, work done at once or a few launches later (launches.h), graphs as lists of it.
//
// Two settings make it fail, for tests: LONGHAUL_EMULATED_FAULT=1 in the environment breaks the device at the next call that
// could report it, for good; LONGHAUL_EMULATED_MEMORY=N has it own N bytes.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <new>

#include "backend/cuda/emulator/inspect.h"
#include "backend/cuda/runtime.h"

namespace longhaul::cuda {

struct Graph::Impl {
  std::vector<emulator::Work> work;
};

namespace {

std::atomic<size_t> taken{0}, used{0};
std::atomic<bool> broken{false};

void check(const char* what) {
  const char* const fault = std::getenv("LONGHAUL_EMULATED_FAULT");
  if (fault && *fault == '1') broken = true;
  if (broken) throw DeviceError(std::string(what) + ": an emulated fault");
}

size_t total() {
  const char* const most = std::getenv("LONGHAUL_EMULATED_MEMORY");
  return most ? std::strtoull(most, nullptr, 10) : size_t(4) << 30;
}
size_t unused() { return total() - std::min<size_t>(total(), used); }

constexpr size_t kLine = 256;
size_t whole(size_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }

}  // namespace

int device_count(std::string&) { return 1; }
void use_device(int) {}
DeviceFacts device_facts(int) { return {"emulated", "sm_0", 0, 1, total(), unused()}; }

size_t allocations() { return taken; }

/** Filled with NaN: what nobody wrote shows. Its size lies before it. */
static void* take(size_t bytes, bool pinned) {
  ++taken;
  char* const memory = static_cast<char*>(std::aligned_alloc(kLine, kLine + whole(bytes)));
  if (!memory) throw std::bad_alloc();
  std::memcpy(memory, &bytes, sizeof bytes);
  std::memset(memory + kLine, 0xff, whole(bytes));
  inspector::allocated(memory + kLine, bytes, pinned);
  return memory + kLine;
}

void* allocate_device(size_t bytes) {
  check("allocate");
  if (whole(bytes) > unused())
    throw OutOfMemory("the device has " + std::to_string(unused() >> 20) + " of " + std::to_string(total() >> 20) + " MiB free, " +
                      std::to_string(bytes >> 20) + " MiB more were asked for");
  void* const memory = take(bytes, false);
  used += whole(bytes);
  return memory;
}
void free_device(void* memory) noexcept {
  if (!memory) return;
  size_t bytes = 0;
  std::memcpy(&bytes, static_cast<char*>(memory) - kLine, sizeof bytes);
  used -= whole(bytes);
  free_pinned(memory);
}
void* allocate_pinned(size_t bytes) { return take(bytes, true); }
void free_pinned(void* memory) noexcept {
  if (!memory) return;
  inspector::freed(memory);
  std::free(static_cast<char*>(memory) - kLine);
}

Graph::Graph(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Graph::Graph(Graph&&) noexcept = default;
Graph::~Graph() = default;

Stream::Stream() = default;
Stream::~Stream() = default;

void Stream::enqueue(emulator::Work work) {
  check("launch");
  if (recording_)
    recording_->push_back(std::move(work));
  else
    launches_.add(work, overlaps_);
}

void Stream::copy(void* to, const void* from, size_t bytes) {
  enqueue(std::function<void()>([=] {
    std::memcpy(to, from, bytes);
    inspector::copied(to, from, bytes);
  }));
}
void Stream::zero(void* memory, size_t bytes) {
  enqueue(std::function<void()>([=] {
    std::memset(memory, 0, bytes);
    inspector::zeroed(memory, bytes);
  }));
}
void Stream::synchronize() {
  check("synchronize");
  if (recording_) throw DeviceError("synchronize: the stream is being recorded");
  launches_.finish();
  inspector::all_have_ended();
}
void Stream::let_overlap(bool allowed) { overlaps_ = allowed; }
void Stream::wait_for(Stream& other) { other.launches_.finish(); }

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
/** Nothing outside a graph overlaps it. */
void Stream::run(const Graph& graph) {
  launches_.finish();
  inspector::all_have_ended();
  for (const emulator::Work& work : graph.impl().work) launches_.add(work, overlaps_);
  launches_.finish();
}

Event::Event() = default;
Event::~Event() = default;
void Event::record(Stream& stream) {
  check("record");
  stream.synchronize();
}
void Event::synchronize() { check("synchronize"); }

float time_on(Stream& stream, const std::function<void()>& body) {
  const auto began = std::chrono::steady_clock::now();
  body();
  stream.synchronize();
  return std::chrono::duration<float, std::milli>(std::chrono::steady_clock::now() - began).count();
}

}  // namespace longhaul::cuda
