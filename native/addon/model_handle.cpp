#include "addon/model_handle.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "addon/convert.h"

namespace longhaul {

/**
 * One piece of work with a promise. `run` is called on the engine's thread and calls `done` once, on any thread, unless it
 * throws; `result` is called on the JavaScript thread.
 */
struct ModelHandle::Job {
  ModelHandle* owner;
  Napi::Promise::Deferred promise;
  std::vector<Napi::ObjectReference> kept;  // arrays the engine writes into
  std::function<void(Model&, const Done&)> run;
  std::function<Napi::Value(Napi::Env)> result;
  bool failed = false;
  Failure failure;

  void fail(std::exception_ptr reason) {
    failed = true;
    try {
      std::rethrow_exception(reason);
    } catch (...) {
      failure = current_failure();
    }
  }
};

Napi::Function ModelHandle::define(Napi::Env env) {
  return DefineClass(env, "Model",
                     {InstanceMethod<&ModelHandle::info>("info"), InstanceMethod<&ModelHandle::open_session>("openSession"),
                      InstanceMethod<&ModelHandle::fork_session>("forkSession"),
                      InstanceMethod<&ModelHandle::restore_session>("restoreSession"),
                      InstanceMethod<&ModelHandle::snapshot>("snapshot"),
                      InstanceMethod<&ModelHandle::close_session>("closeSession"), InstanceMethod<&ModelHandle::step>("step"),
                      InstanceMethod<&ModelHandle::close>("close")});
}

ModelHandle::ModelHandle(const Napi::CallbackInfo& info) : ObjectWrap(info), env_(info.Env()) {
  model_ = std::move(*info[0].As<Napi::External<std::unique_ptr<Model>>>().Data());
  queue_ = std::make_unique<WorkQueue>();
  settle_ = Napi::ThreadSafeFunction::New(
      info.Env(), Napi::Function::New(info.Env(), [](const Napi::CallbackInfo&) {}), "longhaul", 0, 1);
  settle_.Unref(info.Env());
  model_->on_pause([queue = queue_.get()] { queue->give_way(); });
  napi_add_env_cleanup_hook(env_, at_exit, this);
}

ModelHandle::~ModelHandle() { stop(); }

/**
 * The environment ends: a running step stops at its next layer, so that exit is not held up. The environment then
 * destroys settle_ itself, before it finalizes this object: without a queue, stop() leaves it alone.
 */
void ModelHandle::at_exit(void* self) {
  ModelHandle& handle = *static_cast<ModelHandle*>(self);
  handle.model_->abort();
  handle.queue_->join();
  handle.model_->transfer().drain();
  handle.queue_.reset();
}

void ModelHandle::stop() {
  if (!queue_) return;
  napi_remove_env_cleanup_hook(env_, at_exit, this);
  queue_->join();
  model_->transfer().drain();
  queue_.reset();
  model_.reset();
  settle_.Release();
}

Napi::Value ModelHandle::info(const Napi::CallbackInfo& info) {
  Napi::Object out = Napi::Object::New(info.Env());
  out.Set("device", model_->backend().device());
  out.Set("isa", model_->backend().isa());
  out.Set("threads", model_->backend().threads());
  const std::string note = model_->backend().note();
  out.Set("note", note.empty() ? info.Env().Null() : Napi::Value(Napi::String::New(info.Env(), note)));
  const std::string products = model_->backend().products();
  out.Set("products", products.empty() ? info.Env().Null() : Napi::Value(Napi::String::New(info.Env(), products)));
  return out;
}

/** What `body` throws becomes a JavaScript error with a code. */
template <class Body>
auto ModelHandle::guarded(Napi::Env env, const Body& body) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw Napi::Error(env, current_failure().to_error(env));
  }
}

Napi::Value ModelHandle::open_session(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    model_->require_sound();
    const int slot = model_->states().acquire();
    move({slot}, [slot](Model& model) { model.states().clear(slot); });
    return Napi::Number::New(info.Env(), slot);
  });
}

Napi::Value ModelHandle::fork_session(const Napi::CallbackInfo& info) {
  const int from = info[0].As<Napi::Number>().Int32Value();
  return guarded(info.Env(), [&] {
    model_->require_sound();
    const int slot = model_->states().acquire();
    move({from, slot}, [from, slot](Model& model) { model.states().copy(from, slot); });
    return Napi::Number::New(info.Env(), slot);
  });
}

Napi::Value ModelHandle::restore_session(const Napi::CallbackInfo& info) {
  const Napi::Float32Array conv = info[0].As<Napi::Float32Array>(), ssm = info[1].As<Napi::Float32Array>();
  return guarded(info.Env(), [&] {
    // Copied now: the caller may change its arrays as soon as this returns.
    const size_t split = conv.ElementLength();
    const std::shared_ptr<float[]> values(new float[split + ssm.ElementLength()]);
    std::copy_n(conv.Data(), split, values.get());
    std::copy_n(ssm.Data(), ssm.ElementLength(), values.get() + split);
    model_->require_sound();
    const int slot = model_->states().acquire();
    const auto restore = [values, split, slot](Model& model, const std::function<void()>& then) {
      model.transfer().restore(slot, values.get(), values.get() + split, [&model, values, then](std::exception_ptr failure) {
        if (failure) model.fail(failure);
        then();
      });
    };
    if (model_->transfer().beside()) {
      const WorkQueue::Gate gate = WorkQueue::shut_gate();
      move({slot}, [](Model&) {}, gate);
      restore(*model_, [queue = queue_.get(), gate] { queue->open(gate); });
    } else {
      move({slot}, [restore](Model& model) { restore(model, [] {}); });
    }
    return Napi::Number::New(info.Env(), slot);
  });
}

Napi::Value ModelHandle::close_session(const Napi::CallbackInfo& info) {
  const int slot = info[0].As<Napi::Number>().Int32Value();
  move({slot}, [slot](Model& model) { model.release(slot); });
  return info.Env().Undefined();
}

Napi::Value ModelHandle::snapshot(const Napi::CallbackInfo& info) {
  const int slot = info[0].As<Napi::Number>().Int32Value();
  Napi::Float32Array conv = info[1].As<Napi::Float32Array>(), ssm = info[2].As<Napi::Float32Array>();
  auto job = std::unique_ptr<Job>(new Job{this, Napi::Promise::Deferred::New(info.Env()), {}, {}, {}, false, {}});
  job->kept.push_back(Napi::Persistent(conv.As<Napi::Object>()));
  job->kept.push_back(Napi::Persistent(ssm.As<Napi::Object>()));
  job->run = [slot, conv = conv.Data(), ssm = ssm.Data()](Model& model, const Done& done) {
    model.require_sound();
    model.transfer().snapshot(slot, conv, ssm, done);
  };
  job->result = [](Napi::Env env) { return env.Undefined(); };
  return post(info.Env(), WorkQueue::Kind::move, {slot}, std::move(job));
}

Napi::Value ModelHandle::step(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const Napi::Object step = info[0].As<Napi::Object>();
    auto job = std::unique_ptr<Job>(new Job{this, Napi::Promise::Deferred::New(info.Env()), {}, {}, {}, false, {}});
    auto items = std::make_shared<std::vector<StepItem>>(to_step_items(step));
    job->kept.push_back(Napi::Persistent(step.Get("outs").As<Napi::Object>()));
    std::vector<int> slots;
    for (const StepItem& item : *items) slots.push_back(item.slot);
    job->run = [items](Model& model, const Done& done) {
      model.step(*items);
      done(nullptr);
    };
    job->result = [items](Napi::Env env) { return to_samples(env, *items); };
    return post(info.Env(), WorkQueue::Kind::step, std::move(slots), std::move(job));
  });
}

Napi::Value ModelHandle::close(const Napi::CallbackInfo& info) {
  auto job = std::unique_ptr<Job>(new Job{this, Napi::Promise::Deferred::New(info.Env()), {}, {}, {}, false, {}});
  job->run = [](Model& model, const Done& done) {
    model.transfer().drain();
    done(nullptr);
  };
  // The last work there is: the thread has nothing left to do, so joining it here does not wait.
  job->result = [this](Napi::Env env) {
    stop();
    return env.Undefined();
  };
  return post(info.Env(), WorkQueue::Kind::last, {}, std::move(job));
}

Napi::Value ModelHandle::post(Napi::Env env, WorkQueue::Kind kind, std::vector<int> slots, std::unique_ptr<Job> job) {
  if (in_flight_++ == 0) {
    settle_.Ref(env);
    Ref();
  }
  const Napi::Value promise = job->promise.Promise();
  queue_->post(kind, std::move(slots), [this, job = job.release()] {
    const Done done = [this, job](std::exception_ptr failure) {
      if (failure) job->fail(failure);
      settle_.NonBlockingCall(job, settle);
    };
    // Once `done` was called the job may be gone.
    const auto run = std::move(job->run);
    try {
      run(*model_, done);
    } catch (...) {
      done(std::current_exception());
    }
  });
  return promise;
}

/** Work without a promise: what it throws is what later steps fail with. */
void ModelHandle::move(std::vector<int> slots, std::function<void(Model&)> run, WorkQueue::Gate gate) {
  const auto work = [model = model_.get(), run = std::move(run)] {
    try {
      run(*model);
    } catch (...) {
      model->fail(std::current_exception());
    }
  };
  queue_->post(WorkQueue::Kind::move, std::move(slots), work, std::move(gate));
}

void ModelHandle::settle(Napi::Env env, Napi::Function, Job* raw) {
  const std::unique_ptr<Job> job(raw);
  ModelHandle& owner = *job->owner;
  if (--owner.in_flight_ == 0) {
    owner.settle_.Unref(env);
    owner.Unref();
  }
  if (job->failed)
    job->promise.Reject(job->failure.to_error(env));
  else
    job->promise.Resolve(job->result(env));
}

}  // namespace longhaul
