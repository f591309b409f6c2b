// The model: weights, session states and the one layer loop.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "engine/state_pool.h"
#include "engine/step.h"
#include "engine/weights.h"

namespace longhaul {

class Model {
 public:
  Model(const Checkpoint& checkpoint, Quantize quantize, std::unique_ptr<Backend> backend);

  const Backend& backend() const { return *backend_; }
  StatePool& states() { return states_; }
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

 private:
  /** A row of the block whose logits are wanted: row `row` is token `token` of item `item`. */
  struct HeadRow {
    int row, item, token;
  };
  void pause();
  void run_block(const Block& block);
  void run_layers(const Block& block, int rows);
  void run_head(std::vector<StepItem>& items, const std::vector<HeadRow>& wanted);
  void deliver(std::vector<StepItem>& items, const HeadRow* wanted, int rows);
  Rows rows(const Buffer& buffer, int ld, int column = 0) const { return {buffer.data + column, ld}; }
  /** Of a buffer whose elements are the backend's activations. */
  Rows activations(const Buffer& buffer, int ld, int column = 0) const {
    return {buffer.data + column / (element_ == Element::f32 ? 1 : 2), ld, element_};
  }

  const ModelConfig config_;
  std::unique_ptr<Backend> backend_;
  Weights weights_;
  StatePool states_;
  Sampler sampler_;
  std::function<void()> give_way_ = [] {};
  std::atomic<bool> aborted_{false};

  // Padded widths, and the activations of one block: (block_rows, width).
  const int d_model_, d_inner_, dt_rank_, d_state_, vocab_;
  const Element element_;
  const int block_rows_, decode_rows_, head_rows_;
  Buffer residual_, normed_, xz_, u_, dt_b_c_, dt_in_, dt_, picked_, logits_;
  std::vector<float> host_row_;
  std::vector<ScoredRow> scored_;
};

}  // namespace longhaul
