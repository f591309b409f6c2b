#include "engine/model.h"

#include <algorithm>

#include "engine/error.h"
#include "engine/memory_plan.h"

namespace longhaul {
BlockShape::BlockShape(const ModelConfig& config, const Backend& backend)
    : d_model(padded(config.d_model)),
      d_inner(padded(config.d_inner)),
      dt_rank(padded(config.dt_rank)),
      d_state(padded(config.d_state)),
      vocab(padded(config.vocab_size)),
      element(backend.activation_element()),
      rows(backend.block_rows()),
      decode_rows(backend.decode_rows()),
      head_rows(std::min(rows, std::max(16, int(backend.head_floats() / vocab) / 16 * 16))) {}

size_t BlockShape::floats() const {
  const size_t narrow = d_model + 2 * d_inner + d_inner + dt_rank;  // in `element`
  const size_t wide = d_model + dt_rank + 2 * d_state + d_inner;
  return rows * (wide + (element == Element::f32 ? narrow : narrow / 2)) + size_t(head_rows) * (d_model + vocab);
}

Model::Model(const Checkpoint& checkpoint, Quantize quantize, std::unique_ptr<Backend> backend)
    : config_(checkpoint.config),
      backend_(std::move(backend)),
      weights_((require_memory(plan_memory(checkpoint, quantize, *backend_), *backend_), load_weights(checkpoint, quantize, *backend_))),
      states_(config_, *backend_),
      transfer_(config_, states_, *backend_),
      shape_(config_, *backend_) {
  const auto block = [&](int width) { return Buffer(*backend_, size_t(shape_.rows) * width); };
  const auto activations = [&](int width) { return block(shape_.element == Element::f32 ? width : width / 2); };
  residual_ = block(shape_.d_model);
  normed_ = activations(shape_.d_model);
  xz_ = activations(2 * shape_.d_inner);
  u_ = activations(shape_.d_inner);
  dt_b_c_ = block(shape_.dt_rank + 2 * shape_.d_state);
  dt_in_ = activations(shape_.dt_rank);
  dt_ = block(shape_.d_inner);
  picked_ = Buffer(*backend_, size_t(shape_.head_rows) * shape_.d_model);
  logits_ = Buffer(*backend_, size_t(shape_.head_rows) * shape_.vocab);
  host_row_.resize(config_.vocab_size);
  scored_.resize(shape_.head_rows);
  if (backend_->decodes_apart()) idle_state_ = Buffer(*backend_, StatePool::slot_floats(config_));
  backend_->warm_up(idle_state_.data, [this](const Block& block, int n) { run_layers(block, n); });
}

void Model::fail(std::exception_ptr reason) {
  const std::lock_guard lock(failure_mutex_);
  if (!failure_) failure_ = reason;
}

void Model::require_sound() const {
  const std::lock_guard lock(failure_mutex_);
  if (!failure_) return;
  try {
    std::rethrow_exception(failure_);
  } catch (const std::exception& e) {
    throw EngineError("engine_failure", std::string("the engine failed earlier: ") + e.what());
  }
}

void Model::step(std::vector<StepItem>& items) {
  require_sound();
  try {
    run_step(items);
  } catch (const EngineError&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw;
  } catch (...) {
    fail(std::current_exception());
    throw;
  }
}

void Model::run_step(std::vector<StepItem>& items) {
  Block block;
  std::vector<HeadRow> wanted;
  const auto flush = [&] {
    run_block(block);
    run_head(items, wanted, block.decode);
    block.tokens.clear();
    block.spans.clear();
    wanted.clear();
  };
  const auto read = [&](int i) {
    StepItem& item = items[i];
    const int length = int(item.tokens.size()), most = block.decode ? shape_.decode_rows : shape_.rows;
    float* const state = states_.slot(item.slot);
    for (int t = 0; t < length;) {
      const int row = int(block.tokens.size());
      const int rows = std::min(length - t, most - row);
      block.spans.push_back({row, rows, state});
      for (int r = 0; r < rows; ++r, ++t) {
        block.tokens.push_back(item.tokens[t]);
        const bool want = item.want == Want::all_logits || (item.want == Want::logprobs && item.targets[t] >= 0) ||
                          (t == length - 1 && (item.want == Want::last_logits || item.want == Want::sample));
        if (want) wanted.push_back({row + r, i, t});
      }
      if (int(block.tokens.size()) == most) flush();
    }
  };
  const bool apart = backend_->decodes_apart();
  for (const bool decode : {true, false}) {
    block.decode = decode && apart;
    for (int i = 0; i < int(items.size()); ++i)
      if (decode == (apart && items[i].tokens.size() == 1)) read(i);
    if (!block.tokens.empty()) flush();
  }
  backend_->finish();
}

void Model::pause() {
  if (aborted_) throw EngineError("closed", "the engine is shutting down");
  give_way_();
}

/** Embedding and all layers for one block of rows; leaves the residual stream in residual_. */
void Model::run_block(const Block& block) {
  backend_->run_block(block, [&](int rows) { run_layers(block, rows); });
}

void Model::run_layers(const Block& block, int n) {
  Backend& b = *backend_;
  const int width = shape_.dt_rank + 2 * shape_.d_state;
  const Rows r = rows(residual_, shape_.d_model), normed = activations(normed_, shape_.d_model);
  const Rows xz = activations(xz_, 2 * shape_.d_inner), z = activations(xz_, 2 * shape_.d_inner, shape_.d_inner);
  const Rows u = activations(u_, shape_.d_inner), delta = rows(dt_, shape_.d_inner);
  const Rows dt_b_c = rows(dt_b_c_, width), B = rows(dt_b_c_, width, shape_.dt_rank), C = rows(dt_b_c_, width, shape_.dt_rank + shape_.d_state);
  // Where nothing normalizes dt, it is read as it is, or as a copy in the element that projections read.
  const bool copied = config_.mixer_norms || shape_.element != Element::f32;
  const Rows dt_in = copied ? activations(dt_in_, shape_.dt_rank) : dt_b_c;

  b.embed(*weights_.embeddings, block, n, r);
  for (int i = 0; i < config_.n_layer; ++i) {
    const LayerWeights& w = weights_.layers[i];
    // A decode block may be on record, without us; it is short.
    if (!block.decode) pause();
    b.rms_norm(r, w.norm.data, config_.d_model, config_.norm_eps, n, normed);
    b.in_proj_conv(*w.in_proj, w.in_proj_bias.data, normed, n, {w.conv_weight.data, w.conv_bias.data, config_.d_conv},
                   config_.d_inner, block, states_.conv_offset(i), xz, u);
    b.linear(*w.x_proj, nullptr, u, n, dt_b_c, false);
    b.dt_proj_scan({dt_b_c, B, C, config_.dt_rank, config_.d_state, config_.mixer_norms, config_.mixer_rms_eps, dt_in}, *w.dt_proj,
                   delta, n, {w.a_log2e.data, w.d.data, w.dt_bias.data, config_.d_state}, config_.d_inner, u, z, block,
                   states_.ssm_offset(i), u);
    b.linear(*w.out_proj, w.out_proj_bias.data, u, n, r, true);
  }
}

/** Final norm and lm_head for the wanted rows of the block, a bounded number at a time. */
void Model::run_head(std::vector<StepItem>& items, const std::vector<HeadRow>& wanted, bool decode) {
  Backend& b = *backend_;
  std::vector<int> source;
  for (size_t first = 0; first < wanted.size(); first += shape_.head_rows) {
    const int n = int(std::min(wanted.size() - first, size_t(shape_.head_rows)));
    source.clear();
    for (int i = 0; i < n; ++i) source.push_back(wanted[first + i].row);
    const Rows picked = rows(picked_, shape_.d_model), normed = activations(normed_, shape_.d_model), logits = rows(logits_, shape_.vocab);
    b.gather(rows(residual_, shape_.d_model), source.data(), n, shape_.d_model, picked);
    b.rms_norm(picked, weights_.norm_f.data, config_.d_model, config_.norm_eps, n, normed);
    b.lm_head(*weights_.lm_head, normed, n, decode, logits);
    deliver(items, &wanted[first], n);
  }
}

void Model::deliver(std::vector<StepItem>& items, const HeadRow* wanted, int n) {
  const size_t vocab = config_.vocab_size;
  draw(items, wanted, n);
  bool any = false;
  for (int i = 0; i < n; ++i) {
    StepItem& item = items[wanted[i].item];
    const int token = wanted[i].token;
    const float* logits = logits_.data + size_t(i) * shape_.vocab;
    const auto score = [&](int32_t target, float* logprob, size_t row) {
      scored_[i] = {target, logprob, item.top, item.top_ids + row * item.top, item.top_logprobs + row * item.top};
      any = true;
    };
    scored_[i] = {};
    switch (item.want) {
      case Want::all_logits: backend_->download(item.out + token * vocab, logits, vocab); break;
      case Want::last_logits: backend_->download(item.out, logits, vocab); break;
      case Want::logprobs: score(item.targets[token], item.out + token, token); break;
      case Want::sample:
        if (!item.failure) score(item.sampled, &item.logprob, 0);
        break;
      case Want::nothing: break;
    }
  }
  if (any) backend_->log_probs(rows(logits_, shape_.vocab), int(vocab), scored_.data(), n);
}

/** The tokens that are sampled, from what the backend cuts out of their rows where that is enough. */
void Model::draw(std::vector<StepItem>& items, const HeadRow* wanted, int n) {
  const int vocab = config_.vocab_size;
  shortlists_.clear();
  for (int i = 0; i < n; ++i)
    if (const StepItem& item = items[wanted[i].item]; item.want == Want::sample)
      shortlists_.push_back(Sampler::shortlist(i, vocab, item.sampling));
  if (shortlists_.empty()) return;
  const bool cut = backend_->shortlist(rows(logits_, shape_.vocab), vocab, shortlists_);
  for (const Shortlist& found : shortlists_) {
    StepItem& item = items[wanted[found.row].item];
    // What the sampler refuses is this item's failure; what the backend throws is everybody's.
    const auto refusable = [&](const auto& sample) {
      try {
        sample();
      } catch (const EngineError&) {
        item.failure = std::current_exception();
      }
    };
    std::optional<int32_t> token;
    if (cut) refusable([&] { token = sampler_.sample(found, vocab, item.sampling); });
    if (!token && !item.failure) {
      backend_->download(host_row_.data(), logits_.data + size_t(found.row) * shape_.vocab, vocab);
      refusable([&] { token = sampler_.sample(host_row_.data(), vocab, item.sampling); });
    }
    if (token) item.sampled = *token;
  }
}

}  // namespace longhaul
