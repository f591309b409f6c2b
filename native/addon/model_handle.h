// The JavaScript object behind one loaded model.
//
//   open ── close() ──▶ closing ── work posted before is done ──▶ closed (memory returned)
//
// All work that touches states runs on the model's own thread, as if in the order it was posted (work_queue.h), and
// settles its promise on the JavaScript thread. A promise in flight keeps this object and the process alive; an idle model does not.
#pragma once

#include <napi.h>

#include <memory>

#include "engine/model.h"
#include "engine/work_queue.h"

namespace longhaul {

class ModelHandle : public Napi::ObjectWrap<ModelHandle> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit ModelHandle(const Napi::CallbackInfo& info);  // (External<unique_ptr<Model>>)
  ~ModelHandle() override;

 private:
  struct Job;
  using Done = StateTransfer::Done;

  Napi::Value info(const Napi::CallbackInfo& info);
  Napi::Value open_session(const Napi::CallbackInfo& info);
  Napi::Value fork_session(const Napi::CallbackInfo& info);
  Napi::Value restore_session(const Napi::CallbackInfo& info);
  Napi::Value snapshot(const Napi::CallbackInfo& info);
  Napi::Value close_session(const Napi::CallbackInfo& info);
  Napi::Value step(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  template <class Body>
  static auto guarded(Napi::Env env, const Body& body);
  Napi::Value post(Napi::Env env, WorkQueue::Kind kind, std::vector<int> slots, std::unique_ptr<Job> job);
  void move(std::vector<int> slots, std::function<void(Model&)> run, WorkQueue::Gate gate = nullptr);
  static void settle(Napi::Env env, Napi::Function, Job* job);
  static void at_exit(void* self);
  void stop();

  std::unique_ptr<Model> model_;
  std::unique_ptr<WorkQueue> queue_;
  Napi::ThreadSafeFunction settle_;
  napi_env env_;
  int in_flight_ = 0;
};

}  // namespace longhaul
