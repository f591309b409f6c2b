#include "addon/arrivals_handle.h"

namespace longhaul {

Napi::Function ArrivalsHandle::define(Napi::Env env) {
  return DefineClass(env, "Arrivals",
                     {InstanceMethod<&ArrivalsHandle::arrived>("arrived"), InstanceMethod<&ArrivalsHandle::fail>("fail")});
}

ArrivalsHandle::ArrivalsHandle(const Napi::CallbackInfo& info) : ObjectWrap(info), env_(info.Env()) {
  arrivals_ = std::make_shared<Arrivals>(uint64_t(info[0].As<Napi::Number>().DoubleValue()), info[1].As<Napi::Number>().Uint32Value());
  napi_add_env_cleanup_hook(env_, at_exit, this);
}

ArrivalsHandle::~ArrivalsHandle() {
  napi_remove_env_cleanup_hook(env_, at_exit, this);
  at_exit(this);
}

/** Nobody is left to tell of a part: a thread that waits for one must not hold up the exit. */
void ArrivalsHandle::at_exit(void* self) { static_cast<ArrivalsHandle*>(self)->arrivals_->fail("the process ends"); }

Napi::Value ArrivalsHandle::arrived(const Napi::CallbackInfo& info) {
  arrivals_->arrived(info[0].As<Napi::Number>().Uint32Value(), uint64_t(info[1].As<Napi::Number>().DoubleValue()));
  return info.Env().Undefined();
}

Napi::Value ArrivalsHandle::fail(const Napi::CallbackInfo& info) {
  arrivals_->fail(info[0].As<Napi::String>().Utf8Value());
  return info.Env().Undefined();
}

}  // namespace longhaul
