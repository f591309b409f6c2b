// Launches a kernel on a stream. A kernel K names `Args` (plain data), `Shared` (its shared memory) and kThreads; blocks are
// a grid of x by y.
#pragma once

#include "backend/cuda/device.h"
#include "backend/cuda/runtime.h"

namespace longhaul::cuda {

struct Grid {
  int x, y = 1;
};

#if defined(__CUDACC__)

template <class K>
__global__ void __launch_bounds__(K::kThreads) run_kernel(const __grid_constant__ typename K::Args args) {
  extern __shared__ __align__(16) unsigned char shared_memory[];
  K::run(*reinterpret_cast<typename K::Shared*>(shared_memory), args);
}

template <class K>
void launch(Stream& stream, Grid grid, const typename K::Args& args) {
  if (grid.x == 0 || grid.y == 0) return;
  constexpr size_t shared = sizeof(typename K::Shared);
  if constexpr (shared > 48 * 1024) {
    static const cudaError_t raised =
        cudaFuncSetAttribute(run_kernel<K>, cudaFuncAttributeMaxDynamicSharedMemorySize, int(shared));
    check(raised, "cudaFuncSetAttribute");
  }
  run_kernel<K><<<dim3(unsigned(grid.x), unsigned(grid.y)), K::kThreads, shared, stream.handle()>>>(args);
  check(cudaGetLastError(), K::kName);
}

#else

namespace emulator {
void run_grid(Grid grid, int threads, size_t shared_bytes, const std::function<void(void*)>& body);
}

template <class K>
void launch(Stream& stream, Grid grid, const typename K::Args& args) {
  if (grid.x == 0 || grid.y == 0) return;
  stream.enqueue([grid, args] {
    emulator::run_grid(grid, K::kThreads, sizeof(typename K::Shared),
                       [&](void* shared) { K::run(*static_cast<typename K::Shared*>(shared), args); });
  });
}

#endif

/** Shared memory of a kernel that has none. */
struct NoShared {};

}  // namespace longhaul::cuda
