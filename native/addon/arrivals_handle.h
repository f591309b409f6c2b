// The Arrivals object of the addon: told in JavaScript of parts, waited for by the threads that load.
#pragma once

#include <napi.h>

#include <memory>

#include "engine/arrivals.h"

namespace longhaul {

class ArrivalsHandle : public Napi::ObjectWrap<ArrivalsHandle> {
 public:
  static Napi::Function define(Napi::Env env);
  /** (partBytes, files) */
  explicit ArrivalsHandle(const Napi::CallbackInfo& info);
  ~ArrivalsHandle();

  std::shared_ptr<Arrivals> arrivals() const { return arrivals_; }

 private:
  static void at_exit(void* self);
  Napi::Value arrived(const Napi::CallbackInfo& info);
  Napi::Value fail(const Napi::CallbackInfo& info);

  const napi_env env_;
  std::shared_ptr<Arrivals> arrivals_;
};

}  // namespace longhaul
