#include "test/inspector_faults.h"

#include "backend/cuda/launch.h"

namespace longhaul {
namespace {

using namespace cuda;

struct Numbers {
  float* data;
  int n;
};

/** A kernel of two warps; P names Shared and run. */
template <class P>
struct Planted {
  using Args = Numbers;
  using Shared = typename P::Shared;
  static constexpr int kThreads = 64;
  static constexpr const char* kName = "planted";
  static __device__ void run(Shared& shared, const Args& a) { P::run(shared, a); }
};

struct Turned {
  float cells[64];
};

struct Clean {
  using Shared = Turned;
  static __device__ void run(Shared& shared, const Numbers& a) {
    shared.cells[thread_id()] = a.data[64 * block_x() + thread_id()];
    sync_block();
    a.data[64 * block_x() + thread_id()] = shared.cells[63 - thread_id()];
  }
};
struct NoBarrier {
  using Shared = Turned;
  static __device__ void run(Shared& shared, const Numbers& a) {
    shared.cells[thread_id()] = a.data[64 * block_x() + thread_id()];
    a.data[64 * block_x() + thread_id()] = shared.cells[63 - thread_id()];
  }
};
/** A shuffle makes lanes meet, and is no barrier for memory. */
struct ShuffleForBarrier {
  using Shared = Turned;
  static __device__ void run(Shared& shared, const Numbers& a) {
    shared.cells[thread_id()] = a.data[thread_id()];
    const float other = shuffle_xor(1.0f, 1);
    a.data[64 * block_x() + thread_id()] = add(other, shared.cells[thread_id() ^ 1]);
  }
};
struct OneBeyond {
  using Shared = NoShared;
  static __device__ void run(Shared&, const Numbers& a) { a.data[a.n - 63 + thread_id()] = 1.0f; }
};
struct BeyondShared {
  using Shared = Turned;
  static __device__ void run(Shared& shared, const Numbers& a) {
    shared.cells[thread_id() + a.n - a.n + 1] = 1.0f;
  }
};
struct Misaligned {
  using Shared = NoShared;
  static __device__ void run(Shared&, const Numbers& a) { *reinterpret_cast<Quad*>(a.data + 4 * thread_id() + 2) = Quad{1, 2, 3, 4}; }
};
struct Unwritten {
  using Shared = Turned;
  static __device__ void run(Shared& shared, const Numbers& a) {
    if (thread_id() < 63) shared.cells[thread_id()] = 1.0f;
    sync_block();
    a.data[64 * block_x() + thread_id()] = shared.cells[63 - thread_id()];
  }
};
struct UnwrittenGlobal {
  using Shared = NoShared;
  static __device__ void run(Shared&, const Numbers& a) { a.data[thread_id()] = a.data[a.n / 2 + thread_id()]; }
};
struct OneCell {
  using Shared = NoShared;
  static __device__ void run(Shared&, const Numbers& a) {
    if (thread_id() == 5) a.data[7] = float(block_x());
  }
};
struct Counted {
  using Shared = NoShared;
  static __device__ void run(Shared&, const Numbers& a) { atomic_add(reinterpret_cast<int*>(a.data), 1); }
};
struct CountedAndRead {
  using Shared = NoShared;
  static __device__ void run(Shared&, const Numbers& a) {
    atomic_add(reinterpret_cast<int*>(a.data), 1);
    if (thread_id() == 0) a.data[1] = a.data[0];
  }
};
struct Quads {
  Quad cells[64];
};
struct TooEarly {
  using Shared = Quads;
  static __device__ void run(Shared& shared, const Numbers& a) {
    copy_async(&shared.cells[thread_id()], a.data + 4 * thread_id(), true);
    commit_copies();
    reinterpret_cast<Quad*>(a.data)[thread_id()] = shared.cells[thread_id()];
    wait_copies<0>();
  }
};
/** The copies of others are there after a barrier, not after one's own wait. */
struct WaitForBarrier {
  using Shared = Quads;
  static __device__ void run(Shared& shared, const Numbers& a) {
    copy_async(&shared.cells[thread_id()], a.data + 4 * thread_id(), true);
    commit_copies();
    wait_copies<0>();
    float sum = 0.0f;
    for (int i = 0; i < 64; ++i) sum = add(sum, reinterpret_cast<const float*>(&shared.cells[i])[0]);
    a.data[256 + thread_id()] = sum;
  }
};
struct NotConstant {
  using Shared = NoShared;
  static __device__ void run(Shared&, const Numbers& a) {
    const Quad v = load_streaming(reinterpret_cast<const Quad*>(a.data) + thread_id());
    a.data[4 * thread_id()] = float(v.x);
  }
};
struct OtherBarrier {
  using Shared = NoShared;
  static __device__ void run(Shared&, const Numbers& a) {
    if (thread_id() < 32) {
      sync_block();
      a.data[thread_id()] = 1.0f;
    } else {
      sync_block();
      a.data[thread_id()] = 2.0f;
    }
  }
};
struct AllOneBank {
  struct Shared {
    float cells[32][32];
  };
  static __device__ void run(Shared& shared, const Numbers& a) {
    const int lane = thread_id() % 32, half = thread_id() / 32 * 16;
    for (int i = 0; i < 16; ++i) shared.cells[lane][half + i] = a.data[lane];
  }
};
struct Strided {
  using Shared = NoShared;
  static __device__ void run(Shared&, const Numbers& a) { a.data[8 * thread_id()] = a.data[8 * thread_id()] + 1.0f; }
};

/** These may begin before the launch before them has ended. */
struct Ahead {
  using Args = Numbers;
  using Shared = NoShared;
  static constexpr int kThreads = 64;
  static constexpr const char* kName = "ahead";
  static constexpr bool kOverlaps = true;
  static __device__ void run(Shared&, const Args& a) {
    const float early = a.data[thread_id()];
    wait_for_previous();
    a.data[64 + thread_id()] = early;
  }
};
struct WritesAhead {
  using Args = Numbers;
  using Shared = NoShared;
  static constexpr int kThreads = 64;
  static constexpr const char* kName = "writes ahead";
  static constexpr bool kOverlaps = true;
  static __device__ void run(Shared&, const Args& a) {
    a.data[64 + thread_id()] = 1.0f;
    wait_for_previous();
  }
};

/** 1,024 floats, the first half zero, the others never written. */
template <class P>
void on_numbers(int blocks) {
  constexpr int n = 1024;
  const DeviceMemory memory(allocate_device(n * 4));
  Stream stream;
  stream.zero(memory.get(), n * 2);
  launch<Planted<P>>(stream, {blocks}, {static_cast<float*>(memory.get()), n});
  stream.synchronize();
}

/** K behind a launch that writes what K reads. */
template <class K>
void behind_another() {
  constexpr int n = 1024;
  const DeviceMemory memory(allocate_device(n * 4));
  Stream stream;
  stream.zero(memory.get(), n * 4);
  launch<Planted<Clean>>(stream, {1}, {static_cast<float*>(memory.get()), n});
  launch<K>(stream, {1}, {static_cast<float*>(memory.get()), n});
  stream.synchronize();
}

template <class P>
PlantedFault planted(const char* name, const char* rule, const char* what, int blocks = 1) {
  return {name, rule, what, [=] { on_numbers<P>(blocks); }};
}

}  // namespace

std::vector<PlantedFault> planted_faults() {
  return {
      planted<Clean>("nothing", "", "", 8),
      planted<Counted>("integers added by every block", "", "", 8),
      planted<NoBarrier>("a missing barrier", "racecheck", "a "),
      planted<ShuffleForBarrier>("a shuffle for a barrier", "racecheck", "a "),
      planted<OneBeyond>("one beyond an allocation", "memcheck", "out of bounds"),
      planted<BeyondShared>("one beyond shared memory", "memcheck", "out of bounds"),
      planted<Misaligned>("a misaligned Quad", "memcheck", "misaligned"),
      planted<Unwritten>("an unwritten read of shared memory", "initcheck", "unwritten"),
      planted<UnwrittenGlobal>("an unwritten read of the device's memory", "initcheck", "unwritten"),
      planted<OneCell>("two blocks that write one cell", "racecheck", "between blocks", 2),
      planted<CountedAndRead>("a sum read while others add to it", "racecheck", "a "),
      planted<TooEarly>("a copy read before it was waited for", "initcheck", "too early"),
      planted<WaitForBarrier>("a wait for a barrier", "racecheck", "a read after a write"),
      planted<NotConstant>("a write to what is read as constant", "racecheck", "not constant"),
      {"a read ahead of the launch before", "racecheck", "before the wait", behind_another<Ahead>},
      {"a write ahead of the launch before", "racecheck", "before the wait", behind_another<WritesAhead>},
      planted<OtherBarrier>("two barriers for one", "synccheck", "not the same"),
      planted<AllOneBank>("one bank for all lanes", "table", "32 passes"),
      planted<Strided>("a sector for each float", "table", "12 %"),
  };
}

}  // namespace longhaul
