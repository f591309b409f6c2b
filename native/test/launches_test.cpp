// That the emulator finds kernels which break the rules of launch.h, in a stream and in what is recorded of one; and that those
// which keep them have the bits of launches one after the other.
#include <cstdio>
#include <string>
#include <vector>

#include "backend/cuda/launch.h"

namespace longhaul::cuda {
namespace {

constexpr int kBlocks = 3, kBlockThreads = 64, kCells = kBlocks * kBlockThreads;

enum class Habit { waits, reads_early, copies_early, writes_early, ends_early };

struct AddArgs {
  const float* from;
  float* to;
  float sum;  // what should come out
};

/** to[i] = from[i] + 1. */
template <Habit H>
struct AddOne {
  using Args = AddArgs;
  struct Shared {
    alignas(16) float staged[kBlockThreads];
  };
  static constexpr int kThreads = kBlockThreads;
  static constexpr const char* kName = "add_one";
  static constexpr bool kOverlaps = true;
  static __device__ void run(Shared& shared, const Args& a) {
    const int i = block_x() * kThreads + thread_id();
    if (H == Habit::ends_early && i == kCells - 1) return;
    float x = 0.0f;
    if (H == Habit::reads_early) x = a.from[i];
    if (H == Habit::writes_early) a.to[i] = a.sum;
    if (H == Habit::copies_early && thread_id() % 4 == 0) copy_async(&shared.staged[thread_id()], a.from + i, true);
    commit_copies();
    wait_for_previous();
    let_next_start();
    wait_copies<0>();
    if (H == Habit::copies_early) sync_block();
    if (H == Habit::copies_early) x = shared.staged[thread_id()];
    if (H != Habit::reads_early && H != Habit::copies_early) x = a.from[i];
    if (H != Habit::writes_early) a.to[i] = add(x, 1.0f);
  }
};

/** Six launches to and fro between two rows, the fourth of habit H: what the last one wrote, or the error. */
template <Habit H>
std::string outcome(bool recorded) {
  Stream stream;
  stream.let_overlap(true);
  const DeviceMemory memory(allocate_device(2 * kCells * sizeof(float)));
  float* const row = static_cast<float*>(memory.get());
  stream.zero(row, kCells * sizeof(float));
  const auto launches = [&] {
    for (int i = 0; i < 6; ++i) {
      const AddArgs args{row + i % 2 * kCells, row + (i + 1) % 2 * kCells, float(i + 1)};
      if (i == 3)
        launch<AddOne<H>>(stream, {kBlocks}, args);
      else
        launch<AddOne<Habit::waits>>(stream, {kBlocks}, args);
    }
  };
  try {
    if (recorded)
      stream.run(stream.record(launches));
    else
      launches();
    stream.synchronize();
  } catch (const DeviceError& e) {
    return e.what();
  }
  for (int i = 0; i < kCells; ++i)
    if (row[i] != 6.0f) return "wrong";
  return "right";
}

int expect(const char* what, const std::string& expected, const std::string& found) {
  std::printf("%s %s # %s\n", expected == found ? "ok" : "not ok", what, found.c_str());
  return expected != found;
}

}  // namespace
}  // namespace longhaul::cuda

int main() {
  using namespace longhaul::cuda;
  int failed = 0;
  for (const bool recorded : {false, true}) {
    std::printf("%s\n", recorded ? "recorded:" : "in a stream:");
    failed += expect("a kernel that waits", "right", outcome<Habit::waits>(recorded));
    failed += expect("one that reads before its wait", "wrong", outcome<Habit::reads_early>(recorded));
    failed += expect("one that begins to copy before its wait", "wrong", outcome<Habit::copies_early>(recorded));
    failed += expect("one that writes before its wait", "wrong", outcome<Habit::writes_early>(recorded));
    failed += expect("one of which a thread never waits", "add_one: a thread ended without wait_for_previous", outcome<Habit::ends_early>(recorded));
  }
  std::printf("%d failed\n", failed);
  return failed > 0;
}
