// JavaScript values in, engine values out. Values were checked in TypeScript; a mismatch here is a bug and throws TypeError.
#pragma once

#include <napi.h>

#include "engine/model.h"

namespace longhaul {

Checkpoint to_checkpoint(const Napi::Object& value);
/** From a NativeStep (binding.ts); what the engine writes into stays alive as long as its `outs`. */
std::vector<StepItem> to_step_items(const Napi::Object& step);
Isa to_isa(const std::string& name);
Quantize to_quantize(const std::string& name);
Activations to_activations(const std::string& name);

/** { tokens, logprobs, failures }, one of each an item but for the failures, which name theirs. */
Napi::Value to_samples(Napi::Env env, const std::vector<StepItem>& items);

/** An Error with `code`, from whatever is being handled now. */
struct Failure {
  std::string code, message;
  Napi::Value to_error(Napi::Env env) const;
};
/** Call inside a catch block. */
Failure current_failure();

}  // namespace longhaul
