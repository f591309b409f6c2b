#include "backend/cuda/runtime.h"

#include <atomic>
#include <cstdlib>

namespace longhaul::cuda {
namespace {

std::string mib(size_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

std::atomic<size_t> taken{0};

}  // namespace

struct Graph::Impl {
  cudaGraphExec_t exec = nullptr;
  ~Impl() { cudaGraphExecDestroy(exec); }
};

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  throw DeviceError(std::string(what) + ": " + cudaGetErrorName(error) + ", " + cudaGetErrorString(error));
}

int device_count(std::string& reason) {
  // Kernels come with the context, not with their first launch: their memory is taken before any is planned with.
  static const int eager = setenv("CUDA_MODULE_LOADING", "EAGER", 0);
  static_cast<void>(eager);
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess && count > 0) return count;
  cudaGetLastError();
  int driver = 0;
  cudaDriverGetVersion(&driver);
  reason = error == cudaSuccess ? "no GPU" : driver == 0 ? "no GPU: no NVIDIA driver is installed" : std::string("no GPU: ") + cudaGetErrorString(error);
  return 0;
}

void use_device(int index) { check(cudaSetDevice(index), "cudaSetDevice"); }

DeviceFacts device_facts(int index) {
  cudaDeviceProp p;
  check(cudaGetDeviceProperties(&p, index), "cudaGetDeviceProperties");
  DeviceFacts facts{p.name, "sm_" + std::to_string(10 * p.major + p.minor), 10 * p.major + p.minor, p.multiProcessorCount, 0, 0};
  check(cudaMemGetInfo(&facts.free_bytes, &facts.total_bytes), "cudaMemGetInfo");
  return facts;
}

size_t allocations() { return taken; }

void* allocate_device(size_t bytes) {
  ++taken;
  void* memory = nullptr;
  const cudaError_t error = cudaMalloc(&memory, bytes);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    size_t free = 0, total = 0;
    cudaMemGetInfo(&free, &total);
    throw OutOfMemory("the device has " + mib(free) + " of " + mib(total) + " free, " + mib(bytes) + " more were asked for");
  }
  check(error, "cudaMalloc");
  return memory;
}
void free_device(void* memory) noexcept { cudaFree(memory); }

void* allocate_pinned(size_t bytes) {
  ++taken;
  void* memory = nullptr;
  const cudaError_t error = cudaMallocHost(&memory, bytes);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw OutOfMemory("no " + mib(bytes) + " of page-locked host memory");
  }
  check(error, "cudaMallocHost");
  return memory;
}
void free_pinned(void* memory) noexcept { cudaFreeHost(memory); }

Graph::Graph(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Graph::Graph(Graph&&) noexcept = default;
Graph::~Graph() = default;

Stream::Stream() {
  check(cudaStreamCreateWithFlags(&handle_, cudaStreamNonBlocking), "cudaStreamCreate");
  check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "cudaEventCreate");
}
Stream::~Stream() {
  cudaEventDestroy(event_);
  cudaStreamDestroy(handle_);
}

void Stream::copy(void* to, const void* from, size_t bytes) {
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, handle_), "cudaMemcpyAsync");
}
void Stream::zero(void* memory, size_t bytes) { check(cudaMemsetAsync(memory, 0, bytes, handle_), "cudaMemsetAsync"); }
void Stream::synchronize() { check(cudaStreamSynchronize(handle_), "cudaStreamSynchronize"); }
void Stream::let_overlap(bool allowed) {
  int device = 0, major = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "cudaDeviceGetAttribute");
  overlaps_ = allowed && major >= 9;
}
void Stream::wait_for(Stream& other) {
  check(cudaEventRecord(other.event_, other.handle_), "cudaEventRecord");
  check(cudaStreamWaitEvent(handle_, other.event_, 0), "cudaStreamWaitEvent");
}

Graph Stream::record(const std::function<void()>& body) {
  check(cudaStreamBeginCapture(handle_, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  cudaGraph_t graph = nullptr;
  try {
    body();
  } catch (...) {
    cudaStreamEndCapture(handle_, &graph);
    if (graph) cudaGraphDestroy(graph);
    throw;
  }
  check(cudaStreamEndCapture(handle_, &graph), "cudaStreamEndCapture");
  auto impl = std::make_unique<Graph::Impl>();
  const cudaError_t error = cudaGraphInstantiate(&impl->exec, graph, 0);
  cudaGraphDestroy(graph);
  check(error, "cudaGraphInstantiate");
  // What the device needs to run it is taken now, not at its first run.
  check(cudaGraphUpload(impl->exec, handle_), "cudaGraphUpload");
  return Graph(std::move(impl));
}
void Stream::run(const Graph& graph) { check(cudaGraphLaunch(graph.impl().exec, handle_), "cudaGraphLaunch"); }

Event::Event() { check(cudaEventCreateWithFlags(&handle_, cudaEventDisableTiming | cudaEventBlockingSync), "cudaEventCreate"); }
Event::~Event() { cudaEventDestroy(handle_); }
void Event::record(Stream& stream) { check(cudaEventRecord(handle_, stream.handle()), "cudaEventRecord"); }
void Event::synchronize() { check(cudaEventSynchronize(handle_), "cudaEventSynchronize"); }

float time_on(Stream& stream, const std::function<void()>& body) {
  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin), "cudaEventCreate");
  check(cudaEventCreate(&end), "cudaEventCreate");
  check(cudaEventRecord(begin, stream.handle()), "cudaEventRecord");
  body();
  check(cudaEventRecord(end, stream.handle()), "cudaEventRecord");
  check(cudaEventSynchronize(end), "cudaEventSynchronize");
  float ms = 0;
  check(cudaEventElapsedTime(&ms, begin, end), "cudaEventElapsedTime");
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  return ms;
}

}  // namespace longhaul::cuda
