// What -fsanitize=thread makes the kernels call, in place of that sanitizer's own library, which knows no fibers.
#include <cstddef>
#include <cstring>

#include "backend/cuda/emulator/inspect.h"
#include "backend/cuda/inspector/seen.h"

using longhaul::cuda::inspector::saw;

extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_read(void**) {}
void __tsan_vptr_update(void**, void*) {}

#define LONGHAUL_ACCESS(N)                                                                                          \
  void __tsan_read##N(void* at) { saw(at, N, false, true, LONGHAUL_WHERE); }                                        \
  void __tsan_write##N(void* at) { saw(at, N, true, true, LONGHAUL_WHERE); }                                        \
  void __tsan_unaligned_read##N(void* at) { saw(at, N, false, false, LONGHAUL_WHERE); }                             \
  void __tsan_unaligned_write##N(void* at) { saw(at, N, true, false, LONGHAUL_WHERE); }                             \
  void __tsan_read_write##N(void* at) {                                                                             \
    saw(at, N, false, true, LONGHAUL_WHERE);                                                                        \
    saw(at, N, true, true, LONGHAUL_WHERE);                                                                         \
  }
LONGHAUL_ACCESS(1)
LONGHAUL_ACCESS(2)
LONGHAUL_ACCESS(4)
LONGHAUL_ACCESS(8)
LONGHAUL_ACCESS(16)

// Of structs: member by member on a device, four bytes at a time as far as anybody can tell here.
static void range(const char* at, size_t bytes, bool write, const void* where) {
  for (size_t done = 0; done < bytes; done += 4) saw(at + done, bytes - done < 4 ? bytes - done : 4, write, true, where);
}
void __tsan_read_range(void* at, size_t bytes) { range(static_cast<const char*>(at), bytes, false, LONGHAUL_WHERE); }
void __tsan_write_range(void* at, size_t bytes) { range(static_cast<const char*>(at), bytes, true, LONGHAUL_WHERE); }

void* __tsan_memcpy(void* to, const void* from, size_t bytes) {
  range(static_cast<const char*>(from), bytes, false, LONGHAUL_WHERE);
  range(static_cast<const char*>(to), bytes, true, LONGHAUL_WHERE);
  return std::memcpy(to, from, bytes);
}
void* __tsan_memmove(void* to, const void* from, size_t bytes) {
  range(static_cast<const char*>(from), bytes, false, LONGHAUL_WHERE);
  range(static_cast<const char*>(to), bytes, true, LONGHAUL_WHERE);
  return std::memmove(to, from, bytes);
}
void* __tsan_memset(void* to, int value, size_t bytes) {
  range(static_cast<const char*>(to), bytes, true, LONGHAUL_WHERE);
  return std::memset(to, value, bytes);
}

}  // extern "C"
