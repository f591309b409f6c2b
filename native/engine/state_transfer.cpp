#include "engine/state_transfer.h"

#include <algorithm>
#include <future>
#include <utility>

namespace longhaul {
namespace {

/** Calls `done` with what `body` throws. */
template <class Body>
void settle(const StateTransfer::Done& done, const Body& body) {
  std::exception_ptr failure;
  try {
    body();
  } catch (...) {
    failure = std::current_exception();
  }
  done(failure);
}

}  // namespace

StateTransfer::StateTransfer(const ModelConfig& config, StatePool& states, Backend& backend)
    : states_(states), backend_(backend), layout_(config) {
  if (!backend.transfers_beside()) return;
  for (Staged& staged : staged_) {
    staged.memory = Buffer(backend_, layout_.slot_floats());
    staged.copied = backend_.create_mark();
  }
  released_ = backend_.create_mark();
  downloads_ = std::make_unique<WorkQueue>();
  uploads_ = std::make_unique<WorkQueue>();
}

void StateTransfer::snapshot(int slot, float* conv, float* ssm, Done done) {
  if (!beside()) return settle(done, [&] { states_.snapshot(slot, conv, ssm); });
  Staged& staged = take();
  try {
    backend_.copy(staged.memory.data, states_.slot(slot), layout_.slot_floats());
    staged.copied->set();
  } catch (...) {
    give_back(staged);
    return done(std::current_exception());
  }
  downloads_->post(WorkQueue::Kind::move, {}, [this, &staged, conv, ssm, done = std::move(done)] {
    settle(done, [&] {
      const std::unique_ptr<Staged, std::function<void(Staged*)>> held(&staged, [this](Staged* s) { give_back(*s); });
      staged.copied->wait();
      std::vector<float> one(layout_.layer_floats());
      for (int layer = 0; layer < layout_.layers(); ++layer) {
        backend_.download_beside(one.data(), staged.memory.data + layout_.conv_offset(layer), one.size());
        layout_.read(layer, one.data(), conv, ssm);
      }
    });
  });
}

void StateTransfer::restore(int slot, const float* conv, const float* ssm, Done done) {
  if (!beside()) return settle(done, [&] { states_.restore(slot, conv, ssm); });
  uploads_->post(WorkQueue::Kind::move, {}, [this, slot, conv, ssm, done = std::move(done)] {
    settle(done, [&] {
      released_->wait();
      std::vector<float> one(layout_.layer_floats());
      for (int layer = 0; layer < layout_.layers(); ++layer) {
        layout_.write(layer, one.data(), conv, ssm);
        backend_.upload_beside(states_.slot(slot) + layout_.conv_offset(layer), one.data(), one.size());
      }
    });
  });
}

void StateTransfer::released() {
  if (beside()) released_->set();
}

void StateTransfer::drain() {
  for (WorkQueue* lane : {downloads_.get(), uploads_.get()}) {
    if (!lane) continue;
    std::promise<void> reached;
    lane->post(WorkQueue::Kind::move, {}, [&] { reached.set_value(); });
    reached.get_future().wait();
  }
}

/** A buffer that holds no state on its way; waits for one. */
StateTransfer::Staged& StateTransfer::take() {
  std::unique_lock lock(mutex_);
  const auto free = [&] { return std::find_if(staged_.begin(), staged_.end(), [](const Staged& s) { return !s.used; }); };
  given_back_.wait(lock, [&] { return free() != staged_.end(); });
  Staged& staged = *free();
  staged.used = true;
  return staged;
}

void StateTransfer::give_back(Staged& staged) {
  {
    const std::lock_guard lock(mutex_);
    staged.used = false;
  }
  given_back_.notify_one();
}

}  // namespace longhaul
