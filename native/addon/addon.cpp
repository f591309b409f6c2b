// Module entry: probe(), arrivals(partBytes, files) and load(checkpoint, cudaDevice, threads, isa, weights, activations, slots). Same names and order as native/binding.ts.
#include <napi.h>

#include <new>
#include <thread>

#include "addon/arrivals_handle.h"
#include "addon/convert.h"
#include "addon/model_handle.h"

namespace longhaul {
namespace {

/** Per environment, so that worker threads each have their own. */
struct AddonData {
  Napi::FunctionReference model, arrivals;
};

Napi::Value probe(const Napi::CallbackInfo& info) {
  const CpuProbe found = probe_cpu();
  Napi::Object out = Napi::Object::New(info.Env());
  Napi::Array features = Napi::Array::New(info.Env(), found.features.size());
  for (uint32_t i = 0; i < found.features.size(); ++i) features.Set(i, found.features[i]);
  out.Set("isa", found.isa);
  out.Set("cpuFeatures", features);
  out.Set("cpuModel", found.model.empty() ? info.Env().Null() : Napi::Value(Napi::String::New(info.Env(), found.model)));
  out.Set("cores", int(std::thread::hardware_concurrency()));
  out.Set("cuda", probe_cuda());
  return out;
}

Napi::Value arrivals(const Napi::CallbackInfo& info) {
  return info.Env().GetInstanceData<AddonData>()->arrivals.New({info[0], info[1]});
}

/** Reads and packs the weights on a pool thread. */
class LoadWorker : public Napi::AsyncWorker {
 public:
  LoadWorker(Napi::Env env, Checkpoint checkpoint, int cuda_device, int threads, Isa isa, Quantize quantize,
             Activations activations, int slots)
      : AsyncWorker(env, "longhaul.load"),
        promise(Napi::Promise::Deferred::New(env)),
        checkpoint_(std::move(checkpoint)),
        cuda_device_(cuda_device),
        threads_(threads),
        isa_(isa),
        quantize_(quantize),
        activations_(activations),
        slots_(slots) {}

  Napi::Promise::Deferred promise;

  void Execute() override {
    try {
      CudaOptions cuda;
      cuda.device = cuda_device_;
      cuda.activations = activations_;
      cuda.slots = slots_;
      model_ = std::make_unique<Model>(checkpoint_, quantize_,
                                       cuda_device_ < 0 ? create_cpu_backend(threads_, isa_, activations_) : create_cuda_backend(cuda));
    } catch (...) {
      failure_ = current_failure();
      SetError(failure_.message);
    }
  }
  void OnOK() override {
    auto external = Napi::External<std::unique_ptr<Model>>::New(Env(), &model_);
    promise.Resolve(Env().GetInstanceData<AddonData>()->model.New({external}));
  }
  void OnError(const Napi::Error&) override { promise.Reject(failure_.to_error(Env())); }

 private:
  const Checkpoint checkpoint_;
  const int cuda_device_;  // -1: the CPU
  const int threads_;
  const Isa isa_;
  const Quantize quantize_;
  const Activations activations_;
  const int slots_;  // states on the device
  std::unique_ptr<Model> model_;
  Failure failure_;
};

Napi::Value load(const Napi::CallbackInfo& info) {
  auto* worker = new LoadWorker(info.Env(), to_checkpoint(info[0].As<Napi::Object>()),
                                info[1].As<Napi::Number>().Int32Value(), info[2].As<Napi::Number>().Int32Value(),
                                to_isa(info[3].As<Napi::String>().Utf8Value()),
                                to_quantize(info[4].As<Napi::String>().Utf8Value()),
                                to_activations(info[5].As<Napi::String>().Utf8Value()), info[6].As<Napi::Number>().Int32Value());
  const Napi::Value promise = worker->promise.Promise();
  worker->Queue();
  return promise;
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto* data = new AddonData{Napi::Persistent(ModelHandle::define(env)), Napi::Persistent(ArrivalsHandle::define(env))};
  env.SetInstanceData(data);
  exports.Set("probe", Napi::Function::New(env, probe));
  exports.Set("arrivals", Napi::Function::New(env, arrivals));
  exports.Set("load", Napi::Function::New(env, load));
  return exports;
}

}  // namespace
}  // namespace longhaul

static Napi::Object init_longhaul(Napi::Env env, Napi::Object exports) { return longhaul::init(env, exports); }
NODE_API_MODULE(longhaul, init_longhaul)
