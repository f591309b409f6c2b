// The model: weights, session states and the one layer loop.
#pragma once

#include <atomic>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "backend/backend.h"
#include "engine/state_pool.h"
#include "engine/state_transfer.h"
#include "engine/step.h"
#include "engine/weights.h"

namespace longhaul {

/** Padded widths, and how many rows of activations and of logits are held. */
struct BlockShape {
  BlockShape(const ModelConfig& config, const Backend& backend);
  /** Of all activations and logits, in floats. */
  size_t floats() const;

  int d_model, d_inner, dt_rank, d_state, vocab;
  Element element;
  int rows, decode_rows, head_rows;
};

class Model {
 public:
  Model(const Checkpoint& checkpoint, Quantize quantize, std::unique_ptr<Backend> backend);

  /** States that no session has: that of idle rows of decode blocks, and those on their way to the host. */
  static int spare_states(const Backend& backend) { return (backend.decodes_apart() ? 1 : 0) + StateTransfer::buffers(backend); }

  const Backend& backend() const { return *backend_; }
  StatePool& states() { return states_; }
  StateTransfer& transfer() { return transfer_; }
  /** Engine thread, in the order of the work. */
  void release(int slot) {
    transfer_.released();
    states_.release(slot);
  }
  const ModelConfig& config() const { return config_; }

  /**
   * Reads every item's tokens into its session's state and fills in what is wanted. Rows of all items are processed
   * together in blocks of bounded size; each result is the same bits whatever shares the step. Where what is wanted of
   * one item cannot be had, its `failure` says why and the others go on. Engine thread only.
   */
  void step(std::vector<StepItem>& items);

  /** `give_way` is called between the layers of a step, where states that are not in the step may be read and written. */
  void on_pause(std::function<void()> give_way) { give_way_ = std::move(give_way); }
  /** Makes a running step throw at its next layer; for process exit. */
  void abort() { aborted_ = true; }

  /** Any thread: from now on nothing here is to be trusted. The first reason stays. */
  void fail(std::exception_ptr reason);
  /** Any thread: throws EngineError engine_failure once `fail` was called. */
  void require_sound() const;

 private:
  /** A row of the block whose logits are wanted: row `row` is token `token` of item `item`. */
  struct HeadRow {
    int row, item, token;
  };
  void run_step(std::vector<StepItem>& items);
  void pause();
  void run_block(const Block& block);
  void run_layers(const Block& block, int rows);
  void run_head(std::vector<StepItem>& items, const std::vector<HeadRow>& wanted, bool decode);
  void deliver(std::vector<StepItem>& items, const HeadRow* wanted, int rows);
  void draw(std::vector<StepItem>& items, const HeadRow* wanted, int rows);
  Rows rows(const Buffer& buffer, int ld, int column = 0) const { return {buffer.data + column, ld}; }
  /** Of a buffer whose elements are the backend's activations. */
  Rows activations(const Buffer& buffer, int ld, int column = 0) const {
    return {buffer.data + column / (shape_.element == Element::f32 ? 1 : 2), ld, shape_.element};
  }

  const ModelConfig config_;
  std::unique_ptr<Backend> backend_;
  Weights weights_;
  StatePool states_;
  StateTransfer transfer_;
  Sampler sampler_;
  std::function<void()> give_way_ = [] {};
  std::atomic<bool> aborted_{false};
  mutable std::mutex failure_mutex_;
  std::exception_ptr failure_;

  const BlockShape shape_;
  // The activations of one block: (shape_.rows, width).
  Buffer residual_, normed_, xz_, u_, dt_b_c_, dt_in_, dt_, picked_, logits_;
  Buffer idle_state_;  // or null
  std::vector<float> host_row_;
  std::vector<Shortlist> shortlists_;
  std::vector<ScoredRow> scored_;
};

}  // namespace longhaul
