// Any row of logits, any settings in their ranges: a token of the vocabulary, or an error of the engine's own.
#include <cstdlib>

#include "engine/error.h"
#include "engine/sampler.h"
#include "fuzz/input.h"

namespace longhaul::fuzz {

void run(Input in) {
  const int vocab = in.between(1, 300);
  Sampling s{};
  s.temperature = in.flag() ? in.raw<uint16_t>() / 256.0f : in.raw<uint16_t>() * 1e-38f;
  s.top_k = in.between(0, vocab);
  s.top_p = float(1 + in.byte()) / 256;
  s.min_p = float(in.byte()) / 256;
  s.repetition_penalty = float(1 + in.raw<uint16_t>()) / 256;
  for (int n = in.byte() % 8; n > 0; --n) s.penalized.push_back(in.between(0, vocab - 1));
  for (int n = in.byte() % 8; n > 0; --n) {
    s.bias_ids.push_back(in.between(0, vocab - 1));
    s.biases.push_back(float(in.raw<int8_t>()) * 100 / 128);
  }
  s.seed = in.raw<uint64_t>();
  s.position = in.raw<uint64_t>() >> 11;
  std::vector<float> logits(static_cast<size_t>(vocab));
  uint32_t x = in.raw<uint32_t>();
  for (float& logit : logits) {
    x = x * 1664525 + 1013904223;
    logit = float(int32_t(x)) * 0x1p-27f;
  }
  // Equal values, infinities, NaN, subnormals: the input's own bits.
  while (!in.empty()) logits[size_t(in.between(0, vocab - 1))] = in.raw<float>();
  Sampler sampler;
  try {
    const int32_t token = sampler.sample(logits.data(), vocab, s);
    if (token < 0 || token >= vocab) std::abort();
  } catch (const EngineError&) {
  }
}

}  // namespace longhaul::fuzz
