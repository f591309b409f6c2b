#include "addon/convert.h"

#include <cassert>
#include <new>

#include "addon/arrivals_handle.h"
#include "engine/error.h"

namespace longhaul {
namespace {

int int_of(const Napi::Object& o, const char* key) { return o.Get(key).As<Napi::Number>().Int32Value(); }
double double_of(const Napi::Object& o, const char* key) { return o.Get(key).As<Napi::Number>().DoubleValue(); }
std::string string_of(const Napi::Object& o, const char* key) { return o.Get(key).As<Napi::String>().Utf8Value(); }

/** Reads one of the arrays of a step from front to back. */
template <class Array, class Value>
class Reader {
 public:
  Reader(const Napi::Object& step, const char* key) {
    const Array array = step.Get(key).template As<Array>();
    at_ = array.Data();
    end_ = at_ + array.ElementLength();
  }
  Value one() { return *take(1); }
  std::vector<Value> some(size_t n) {
    const Value* const from = take(n);
    return {from, from + n};
  }

 private:
  const Value* take(size_t n) {
    assert(size_t(end_ - at_) >= n);
    at_ += n;
    return at_ - n;
  }
  const Value *at_, *end_;
};
using Ints = Reader<Napi::Int32Array, int32_t>;
using Doubles = Reader<Napi::Float64Array, double>;
using Seeds = Reader<Napi::BigUint64Array, uint64_t>;

StoredRange range_of(const Napi::Object& o, const char* key) {
  const Napi::Object range = o.Get(key).As<Napi::Object>();
  return {int_of(range, "file"), uint64_t(double_of(range, "offset")), uint64_t(double_of(range, "bytes"))};
}

std::vector<float> floats_of(const Napi::Object& o, const char* key) {
  const Napi::Float32Array a = o.Get(key).As<Napi::Float32Array>();
  return {a.Data(), a.Data() + a.ElementLength()};
}

Quantization to_quantization(const Napi::Value& value) {
  Quantization q;
  if (!value.IsObject()) return q;
  const Napi::Object o = value.As<Napi::Object>();
  q.dtype = string_of(o, "kind") == "int8" ? Dtype::int8 : Dtype::code4;
  q.scales = range_of(o, "scales");
  if (q.dtype == Dtype::int8) return q;
  q.block_size = int_of(o, "blockSize");
  q.code = floats_of(o, "code");
  if (!o.Get("nested").IsObject()) return q;
  const Napi::Object nested = o.Get("nested").As<Napi::Object>();
  q.nested_scales = range_of(nested, "scales");
  q.nested_block_size = int_of(nested, "blockSize");
  q.nested_map = floats_of(nested, "map");
  q.nested_offset = float(double_of(nested, "offset"));
  return q;
}

Dtype to_dtype(const std::string& name) {
  if (name == "F32") return Dtype::f32;
  if (name == "F16") return Dtype::f16;
  return Dtype::bf16;
}

/** In the order of native/pack.ts. */
Sampling to_sampling(Doubles& numbers, Seeds& seeds, Ints& penalized, Ints& bias_ids) {
  Sampling sampling{};
  sampling.temperature = float(numbers.one());
  sampling.top_k = int(numbers.one());
  sampling.top_p = float(numbers.one());
  sampling.min_p = float(numbers.one());
  sampling.repetition_penalty = float(numbers.one());
  sampling.position = uint64_t(numbers.one());
  sampling.penalized = penalized.some(size_t(numbers.one()));
  sampling.bias_ids = bias_ids.some(size_t(numbers.one()));
  for (size_t i = 0; i < sampling.bias_ids.size(); ++i) sampling.biases.push_back(float(numbers.one()));
  sampling.seed = seeds.one();
  return sampling;
}

}  // namespace

Checkpoint to_checkpoint(const Napi::Object& value) {
  Checkpoint checkpoint;
  const Napi::Object config = value.Get("config").As<Napi::Object>();
  checkpoint.config = {int_of(config, "vocabSize"),
                       int_of(config, "nLayer"),
                       int_of(config, "dModel"),
                       int_of(config, "dInner"),
                       int_of(config, "dState"),
                       int_of(config, "dConv"),
                       int_of(config, "dtRank"),
                       float(double_of(config, "normEps")),
                       float(double_of(config, "mixerRmsEps")),
                       config.Get("mixerNorms").As<Napi::Boolean>().Value()};
  const Napi::Array files = value.Get("files").As<Napi::Array>();
  for (uint32_t i = 0; i < files.Length(); ++i)
    checkpoint.files.push_back(files.Get(i).As<Napi::String>().Utf8Value());
  const Napi::Array tensors = value.Get("tensors").As<Napi::Array>();
  for (uint32_t i = 0; i < tensors.Length(); ++i) {
    const Napi::Object t = tensors.Get(i).As<Napi::Object>();
    checkpoint.tensors.push_back({string_of(t, "role"), int_of(t, "layer"), to_dtype(string_of(t, "dtype")), int_of(t, "file"),
                                  uint64_t(double_of(t, "offset")), uint64_t(double_of(t, "bytes")), int_of(t, "rows"),
                                  int_of(t, "cols"), to_quantization(t.Get("quantization"))});
  }
  const Napi::Value arrivals = value.Get("arrivals");
  if (arrivals.IsObject()) checkpoint.arrivals = ArrivalsHandle::Unwrap(arrivals.As<Napi::Object>())->arrivals();
  return checkpoint;
}

std::vector<StepItem> to_step_items(const Napi::Object& step) {
  Ints slots(step, "slots"), wants(step, "wants"), lengths(step, "lengths"), tokens(step, "tokens");
  Ints tops(step, "tops"), targets(step, "targets"), penalized(step, "penalized"), bias_ids(step, "biasIds");
  Doubles samplings(step, "samplings");
  Seeds seeds(step, "seeds");
  const Napi::Array outs = step.Get("outs").As<Napi::Array>();
  uint32_t next_out = 0;
  std::vector<StepItem> items(step.Get("slots").As<Napi::Int32Array>().ElementLength());
  for (StepItem& item : items) {
    const size_t length = size_t(lengths.one());
    item.slot = slots.one();
    item.tokens = tokens.some(length);
    item.want = Want(wants.one());
    if (item.want == Want::sample) item.sampling = to_sampling(samplings, seeds, penalized, bias_ids);
    if (item.want == Want::logprobs) item.targets = targets.some(length);
    if (item.want != Want::nothing && item.want != Want::sample)
      item.out = outs.Get(next_out++).As<Napi::Float32Array>().Data();
    item.top = tops.one();
    if (item.top == 0) continue;
    item.top_ids = outs.Get(next_out++).As<Napi::Int32Array>().Data();
    item.top_logprobs = outs.Get(next_out++).As<Napi::Float32Array>().Data();
  }
  return items;
}

Napi::Value to_samples(Napi::Env env, const std::vector<StepItem>& items) {
  const size_t n = items.size();
  Napi::Int32Array tokens = Napi::Int32Array::New(env, n);
  Napi::Float32Array logprobs = Napi::Float32Array::New(env, n);
  const Napi::Array failures = Napi::Array::New(env);
  for (size_t i = 0; i < n; ++i) {
    tokens.Data()[i] = items[i].sampled;
    logprobs.Data()[i] = items[i].logprob;
    if (!items[i].failure) continue;
    Napi::Object failure = Napi::Object::New(env);
    failure.Set("item", double(i));
    try {
      std::rethrow_exception(items[i].failure);
    } catch (...) {
      failure.Set("error", current_failure().to_error(env));
    }
    failures.Set(failures.Length(), failure);
  }
  Napi::Object out = Napi::Object::New(env);
  out.Set("tokens", tokens);
  out.Set("logprobs", logprobs);
  out.Set("failures", failures);
  return out;
}

Isa to_isa(const std::string& name) {
  if (name == "portable") return Isa::portable;
  if (name == "avx2") return Isa::avx2;
  if (name == "avx512") return Isa::avx512;
  if (name == "avx512vnni") return Isa::avx512vnni;
  if (name == "avx512bf16") return Isa::avx512bf16;
  return Isa::automatic;
}

Quantize to_quantize(const std::string& name) {
  if (name == "int8") return Quantize::int8;
  if (name == "nf4") return Quantize::nf4;
  if (name == "fp8") return Quantize::fp8;
  return Quantize::none;
}

Activations to_activations(const std::string& name) {
  return name == "matched" ? Activations::matched : Activations::f32;
}

Napi::Value Failure::to_error(Napi::Env env) const {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  return error.Value();
}

Failure current_failure() {
  try {
    throw;
  } catch (const EngineError& e) {
    return {e.code, e.what()};
  } catch (const std::bad_alloc& e) {
    const std::string what = e.what();
    return {"out_of_memory", what == std::bad_alloc().what() ? "not enough memory" : what};
  } catch (const std::invalid_argument& e) {
    return {"device_unavailable", e.what()};
  } catch (const std::exception& e) {
    return {"engine_failure", e.what()};
  }
}

}  // namespace longhaul
