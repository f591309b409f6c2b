// Weights as the loader reads them: a table of tensors in files, checked in native/checkpoint.ts, packed for a backend.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "engine/arrivals.h"
#include "engine/config.h"
#include "engine/quantize.h"

namespace longhaul {

/** Bytes of one of the checkpoint's files. */
struct StoredRange {
  int file = 0;
  uint64_t offset = 0, bytes = 0;
};

/** How a stored tensor is quantized, by bitsandbytes; see native/quantization.ts. */
struct Quantization {
  Dtype dtype = Dtype::f32;       // int8, code4, or anything else: not at all
  StoredRange scales;             // fp32; uint8 where nested
  int block_size = 0;             // code4
  std::vector<float> code;        // code4: (16)
  StoredRange nested_scales;      // fp32
  int nested_block_size = 0;      // 0 = not nested
  std::vector<float> nested_map;  // (256)
  float nested_offset = 0;
};

/** One stored tensor, flattened to (rows, cols). */
struct TensorSource {
  std::string role;  // 'embeddings', 'norm_f', 'lm_head', or a layer's 'in_proj', 'conv1d_bias', ...
  int layer;         // -1 outside layers
  Dtype dtype;
  int file;
  uint64_t offset, bytes;
  int rows, cols;
  Quantization quantization;
};

struct Checkpoint {
  ModelConfig config;
  std::vector<std::string> files;
  std::vector<TensorSource> tensors;
  /** Null: every file is there. */
  std::shared_ptr<Arrivals> arrivals;
};

/** fp32 backend memory with an owner. */
struct Buffer {
  Backend* backend = nullptr;
  float* data = nullptr;
  Buffer() = default;
  Buffer(Backend& backend, size_t floats) : backend(&backend), data(backend.allocate(floats)) {}
  Buffer(Buffer&& other) noexcept : backend(other.backend), data(other.data) { other.data = nullptr; }
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(backend, other.backend);
    std::swap(data, other.data);
    return *this;
  }
  ~Buffer() {
    if (data) backend->release(data);
  }
};

struct LayerWeights {
  Buffer norm;                                     // (d_model)
  std::unique_ptr<Matrix> in_proj;                 // x | z
  Buffer in_proj_bias;                             // or null
  Buffer conv_weight, conv_bias;                   // (d_conv, d_inner), (d_inner)
  std::unique_ptr<Matrix> x_proj;                  // dt | B | C
  std::unique_ptr<Matrix> dt_proj;
  Buffer dt_bias;                                  // (d_inner)
  Buffer a_log2e;                                  // by state_index: -exp(A_log) log2(e)
  Buffer d;                                        // (d_inner)
  std::unique_ptr<Matrix> out_proj;
  Buffer out_proj_bias;                            // or null
};

struct Weights {
  std::unique_ptr<Matrix> embeddings;
  std::unique_ptr<Matrix> lm_head;
  Buffer norm_f;
  std::vector<LayerWeights> layers;
};

/**
 * Tensor by tensor in the order in which they lie in the files, each as soon as its bytes are there. Throws EngineError
 * model_corrupt when a file ends before a tensor does, model_incomplete when a tensor is absent or will not arrive.
 */
Weights load_weights(const Checkpoint& checkpoint, Quantize quantize, Backend& backend);

}  // namespace longhaul
