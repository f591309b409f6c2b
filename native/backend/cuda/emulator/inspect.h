// What the emulator tells the inspector (inspector/inspector.h) of what it does. Nothing, at no cost, in an ordinary build: only
// the target gpu_inspect defines LONGHAUL_INSPECT.
#pragma once

#include <cstddef>

namespace longhaul::cuda::inspector {

struct LaunchFacts {
  const char* name;
  int grid_x, grid_y, threads;
  size_t shared_bytes;
  bool overlaps;  // launch.h
  const void* own;  // the emulator's memory, through which it calls the kernel
  size_t own_bytes;
};

#if defined(LONGHAUL_INSPECT)

constexpr bool kInspects = true;

// Memory.
void allocated(void* memory, size_t bytes, bool pinned);
void freed(void* memory);
void copied(void* to, const void* from, size_t bytes);
void zeroed(void* memory, size_t bytes);
/** By code that stands for a library's kernel and is not itself inspected. */
void library_read(const void* memory, size_t bytes, const char* library);
void library_wrote(void* memory, size_t bytes, const char* library);

// Order. Blocks come one after the other, the fibers of a block in any order; `resumed` says whose turn it is.
void launch_begins(const LaunchFacts& facts);
void launch_ends();
void block_begins(void* shared, int block_x, int block_y);
void block_ends();
void resumed(int thread, const void* stack, size_t stack_bytes);
void suspended();
/** What the running fiber's kernel was launched with: constant memory on a device. */
void takes_arguments(const void* args, size_t bytes);
/** The running fiber has called wait_for_previous. */
void waited_for_previous();
/** No launch that was made so far is still under way. */
void all_have_ended();
/** Before the running fiber waits for its block, or its warp: `where` it does, a code address. */
void comes_to_barrier(const void* where);
void comes_to_exchange(const void* where);
/** The running fiber waits for threads that have ended. */
void waits_for_nobody();

// Asynchronous copies of 16 bytes: zeros where `from` is null.
void copy_begins(void* to, const void* from, const void* where);
void copy_ends(void* to, const void* from);

// What a kernel does by a word of the vocabulary.
void atomic(void* to, size_t bytes, const void* where);
/** The next read of the running fiber passes the first-level cache as constant. */
void next_read_streams();
/** Sixteen bytes of shared memory, for the lanes of a warp. */
void reads_row(const void* row, const void* where);

#define LONGHAUL_WHERE __builtin_extract_return_addr(__builtin_return_address(0))

#else

constexpr bool kInspects = false;
inline void allocated(void*, size_t, bool) {}
inline void freed(void*) {}
inline void copied(void*, const void*, size_t) {}
inline void zeroed(void*, size_t) {}
inline void library_read(const void*, size_t, const char*) {}
inline void library_wrote(void*, size_t, const char*) {}
inline void launch_begins(const LaunchFacts&) {}
inline void launch_ends() {}
inline void block_begins(void*, int, int) {}
inline void block_ends() {}
inline void resumed(int, const void*, size_t) {}
inline void suspended() {}
inline void takes_arguments(const void*, size_t) {}
inline void waited_for_previous() {}
inline void all_have_ended() {}
inline void comes_to_barrier(const void*) {}
inline void comes_to_exchange(const void*) {}
inline void waits_for_nobody() {}
inline void copy_begins(void*, const void*, const void*) {}
inline void copy_ends(void*, const void*) {}
inline void atomic(void*, size_t, const void*) {}
inline void next_read_streams() {}
inline void reads_row(const void*, const void*) {}

#define LONGHAUL_WHERE nullptr

#endif

}  // namespace longhaul::cuda::inspector
