// Puts the accesses of lanes together to those of warps, as a device makes them: the n-th time that a lane comes to a place goes
// with the n-th time of the others. Counts the sectors of global memory and the passes of shared memory that they take.
#pragma once

#include <vector>

#include "backend/cuda/inspector/inspector.h"

namespace longhaul::cuda::inspector {

enum class Space : uint8_t { global, shared };

struct Access {
  const char* at;
  uint16_t bytes;  // at most 16
  Space space;
  bool write, streamed;
};

class Lanes {
 public:
  void begin_block(int threads);
  /** Thread `thread` comes to the place whose counts are `places[place]`. */
  void add(std::vector<Traffic>& places, int thread, int place, const Access& access);
  /** Those that not all lanes of a warp came to. */
  void end_block(std::vector<Traffic>& places);

 private:
  struct Group {
    Access first;
    uint32_t lanes = 0;  // a bit each
    const char* at[32];
  };
  /** Of one warp at one place: those that not all lanes have come to yet. */
  struct Waiting {
    uint32_t done = 0;  // groups that were counted
    size_t head = 0;
    std::vector<Group> groups;
  };

  void grow(size_t places);
  static void count(Traffic& traffic, const Group& group);

  int threads_ = 0;
  size_t places_ = 0;
  std::vector<uint32_t> came_;      // (places, threads)
  std::vector<Waiting> waiting_;  // (places, warps)
};

}  // namespace longhaul::cuda::inspector
