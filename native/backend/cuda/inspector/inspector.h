// What compute-sanitizer and a profiler's memory tables would say of the kernels, found on the emulator: no device, and the
// same every time. The kernels are compiled with the calls that -fsanitize=thread puts before every access, which lead
// here (tsan_hooks.cpp) and not to that sanitizer; the emulator tells of launches, barriers and copies (emulator/inspect.h).
//
//   memcheck   outside of what is allocated; at an address that is no multiple of the access's width; an access whose
//              alignment the compiler cannot know, which a device makes byte by byte
//   initcheck  a read of what nobody wrote, or of an asynchronous copy that was not waited for
//   racecheck  within a block: two threads at one byte, one of them writing, and no barrier between them. A shuffle or
//              an mma is none: neither orders memory. Between the blocks of a launch: the same without that excuse
//              (atomics among themselves excepted). A write to what the launch reads past the first-level cache as constant
//   synccheck  threads of a block that wait at different barriers, lanes of a warp at different exchanges, or for who has ended
//
// Memory is watched by byte, whatever lies beside it: overruns within one allocation show as races or unwritten reads only.
// Each is an error of the program. Nothing is sampled: what one order of threads does decides for all orders, since
// between two barriers any two conflicting accesses count, whichever came first.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace longhaul::cuda::inspector {

struct Finding {
  std::string rule, kernel, under;  // "racecheck"; kName; the label it was found under
  std::string what;                 // with block, thread and what was expected
  std::string where;                // function, file and line
  uint64_t times;                   // at this place
};

/** Of the accesses at one place in a kernel, or in all of it. Warp-wide: lanes that come there equally often go together. */
struct Traffic {
  uint64_t load_bytes = 0, load_sectors = 0, store_bytes = 0, store_sectors = 0;  // asked for by warps; 32-byte sectors touched
  uint64_t streamed_bytes = 0, streamed_sectors = 0;                              // of the loads: those by load_streaming
  uint64_t read_once = 0, written_once = 0;                                       // distinct bytes of a launch
  // Shared memory, by warp-wide access: passes that 32 banks of 4 bytes need, and those that they would need without conflicts.
  uint64_t shared = 0, passes = 0, least_passes = 0;
  int worst = 0;  // most passes of one phase
  Traffic& operator+=(const Traffic& other);
};
struct Place {
  std::string where;
  Traffic traffic;
};
struct KernelTraffic {
  std::string under, kernel;
  int grid_x, grid_y, threads;
  size_t shared_bytes;
  uint64_t launches;
  Traffic all;
  std::vector<Place> places;
};

/** What runs now: findings and traffic are filed under it. */
void set_label(const std::string& label);
/** Whether traffic is counted from now on; places are looked up only where `with_places`. */
void count_traffic(bool on);
std::vector<KernelTraffic> traffic(bool with_places);
std::vector<Finding> findings();
/** Both lists are empty again. */
void forget();

}  // namespace longhaul::cuda::inspector
