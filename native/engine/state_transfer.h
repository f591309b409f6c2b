// States on their way to the host and back, beside the work of the engine thread.
//
//   snapshot   slot ── copied in the order of the work ──▶ a buffer on the device ── another thread ──▶ the host's arrays
//   restore    the host's arrays ── another thread ──▶ a slot that nothing else uses yet
//
// So a step of the same session may follow a snapshot at once. Where states are the host's own memory both are done when
// the call returns.
#pragma once

#include <array>
#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/state_pool.h"
#include "engine/work_queue.h"

namespace longhaul {

class StateTransfer {
 public:
  /** Called once, on any thread; null where all went well. */
  using Done = std::function<void(std::exception_ptr failure)>;

  StateTransfer(const ModelConfig& config, StatePool& states, Backend& backend);

  /** States that it takes memory for. */
  static int buffers(const Backend& backend) { return backend.transfers_beside() ? kBuffers : 0; }
  /** Whether anything goes on after a call has returned. */
  bool beside() const { return downloads_ != nullptr; }

  /** Engine thread. The state as it is now; `conv` and `ssm`, as StateLayout has them outside, stay until `done`. */
  void snapshot(int slot, float* conv, float* ssm, Done done);
  /** Engine thread, or any where it goes on beside: `slot` has been acquired and not touched since, nor is it until `done`. */
  void restore(int slot, const float* conv, const float* ssm, Done done);
  /** Engine thread, before a slot is released: a restore into it waits for the work that was given until now. */
  void released();
  /** Returns when nothing is on its way. */
  void drain();

 private:
  static constexpr int kBuffers = 2;
  struct Staged {
    Buffer memory;
    std::unique_ptr<Mark> copied;
    bool used = false;
  };
  Staged& take();
  void give_back(Staged& staged);

  StatePool& states_;
  Backend& backend_;
  const StateLayout layout_;
  std::mutex mutex_;
  std::condition_variable given_back_;
  std::array<Staged, kBuffers> staged_;
  std::unique_ptr<Mark> released_;
  // Last: their threads end before what they use. Null where states are the host's own memory.
  std::unique_ptr<WorkQueue> downloads_, uploads_;
};

}  // namespace longhaul
