// The way from an access to the inspector: what is not a kernel's, and what is a fiber's own stack, goes no further.
#pragma once

#include <cstddef>

namespace longhaul::cuda::inspector {

/** The fiber that runs on this host thread. */
struct Watched {
  bool inside = false, streams = false;
  int thread = 0;
  const char* stack = nullptr;
  size_t stack_bytes = 0;
};
extern thread_local Watched watched __attribute__((tls_model("initial-exec")));

/** By the running fiber, and not of its stack. `aligned`: the code says so, true or not. */
void see(const void* at, size_t bytes, bool write, bool aligned, const void* where);

inline void saw(const void* at, size_t bytes, bool write, bool aligned, const void* where) {
  if (!watched.inside || size_t(static_cast<const char*>(at) - watched.stack) < watched.stack_bytes) return;
  see(at, bytes, write, aligned, where);
}

}  // namespace longhaul::cuda::inspector
