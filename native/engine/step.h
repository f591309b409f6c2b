// One step: a ragged batch of sequences, each with tokens to read and one thing wanted of them.
#pragma once

#include <cstdint>
#include <exception>
#include <vector>

#include "engine/sampler.h"

namespace longhaul {

/** As native/pack.ts numbers them. */
enum class Want { nothing, sample, logprobs, last_logits, all_logits };

struct StepItem {
  int slot;
  std::vector<int32_t> tokens;   // T >= 1, checked against the vocabulary
  Want want;
  Sampling sampling;             // for sample
  std::vector<int32_t> targets;  // for logprobs: T ids, -1 where nothing is wanted
  float* out = nullptr;          // host: T log-probabilities, or 1 or T rows of logits
  int top = 0;                   // for sample and logprobs: alternatives of each position, at most kMaxTop
  int32_t* top_ids = nullptr;    // host: (1 or T, top)
  float* top_logprobs = nullptr;

  int32_t sampled = -1;
  float logprob = 0;
  std::exception_ptr failure;  // set where the sample could not be drawn; the state has read the tokens all the same
};

}  // namespace longhaul
