// Launches a kernel on a stream. A kernel K names `Args` (plain data), `Shared` (its shared memory) and kThreads; blocks are
// a grid of x by y.
//
// A kernel that says `static constexpr bool kOverlaps = true` may begin while the launch before it still runs (programmatic
// dependent launch, compute capability 9.0), in a stream and in what is recorded of one. So that the bits are those of launches one
// after the other:
//   - Every thread of it calls wait_for_previous(), on every path.
//   - Before that it reads only what no kernel writes: weights, and what copies brought. Copies and clearings of memory overlap nothing.
//   - Before that it writes nothing but shared memory.
//   - After that it sees what all launches before it wrote: the one before has ended, which itself waited for the one before it.
//     That is why no thread may end without waiting, even one that has nothing to read.
//   - Through load_streaming it reads only what it might read before the wait.
// let_next_start() is a hint, and any kernel may give it: a launch that does not overlap still waits for all before it.
#pragma once

#include <type_traits>

#include "backend/cuda/device.h"
#include "backend/cuda/runtime.h"

namespace longhaul::cuda {

struct Grid {
  int x, y = 1;
};

template <class K, class = void>
struct Overlaps : std::false_type {};
template <class K>
struct Overlaps<K, std::void_t<decltype(K::kOverlaps)>> : std::bool_constant<K::kOverlaps> {};

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
  if constexpr (Overlaps<K>::value) {
    if (stream.overlaps()) {
      cudaLaunchAttribute early{};
      early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
      early.val.programmaticStreamSerializationAllowed = 1;
      cudaLaunchConfig_t config{};
      config.gridDim = dim3(unsigned(grid.x), unsigned(grid.y));
      config.blockDim = dim3(unsigned(K::kThreads));
      config.dynamicSmemBytes = shared;
      config.stream = stream.handle();
      config.attrs = &early;
      config.numAttrs = 1;
      return check(cudaLaunchKernelEx(&config, run_kernel<K>, args), K::kName);
    }
  }
  run_kernel<K><<<dim3(unsigned(grid.x), unsigned(grid.y)), K::kThreads, shared, stream.handle()>>>(args);
  check(cudaGetLastError(), K::kName);
}

#else

template <class K>
void launch(Stream& stream, Grid grid, const typename K::Args& args) {
  if (grid.x == 0 || grid.y == 0) return;
  const auto body = [args](void* shared) {
    inspector::takes_arguments(&args, sizeof args);
    K::run(*static_cast<typename K::Shared*>(shared), args);
  };
  stream.enqueue(emulator::Launch{K::kName, grid.x, grid.y, K::kThreads, sizeof(typename K::Shared), Overlaps<K>::value, body});
}

#endif

/** Shared memory of a kernel that has none. */
struct NoShared {};

}  // namespace longhaul::cuda
