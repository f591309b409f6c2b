// A stream's launches as an impatient device would run them: a kernel that may overlap begins long before its turn.
//
// The last few launches of kernels are held back. When one that overlaps is added, one or two of its blocks, drawn by chance,
// run at once as far as wait_for_previous(): what they read there is as it was before the launches that are held back, and what they
// write there is too early. So a kernel that breaks the rules of launch.h has other bits than it should, or the error of `begin`.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <variant>

namespace longhaul::cuda::emulator {

struct Launch {
  const char* name;
  int grid_x, grid_y, threads;
  size_t shared_bytes;
  bool overlaps;
  std::function<void(void* shared)> body;
};
/** A kernel, or anything else, which nothing overlaps. */
using Work = std::variant<std::function<void()>, Launch>;

/** A launch that may have begun. */
class Running;

class Launches {
 public:
  Launches();
  ~Launches();
  /** `overlap`: kernels that may overlap do. */
  void add(const Work& work, bool overlap);
  /** Runs to its end all that is held back; throws DeviceError naming a kernel of which a thread ended without its wait. */
  void finish();

 private:
  std::deque<std::unique_ptr<Running>> held_;
};

}  // namespace longhaul::cuda::emulator
