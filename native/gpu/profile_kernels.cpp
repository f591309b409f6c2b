#include "gpu/profile_kernels.h"

#include "engine/quantize.h"

namespace longhaul {

using namespace cuda;

namespace {

constexpr size_t kRotatedBytes = size_t(160) << 20;  // several times the cache of any device so far

size_t bytes_of(Dtype dtype, size_t cells) { return dtype == Dtype::f32 ? 4 * cells : dtype == Dtype::bf16 ? 2 * cells : dtype == Dtype::code4 ? cells / 2 : cells; }

Values values_of(Dtype dtype) {
  return dtype == Dtype::f32 ? Values::f32 : dtype == Dtype::bf16 ? Values::bf16 : dtype == Dtype::fp8 ? Values::e4m3 : Values::bytes;
}

std::vector<int32_t> tokens_for(int rows, int vocab) {
  std::vector<int32_t> out(rows);
  for (int i = 0; i < rows; ++i) out[i] = int((int64_t(i) * 7919 + 13) % vocab);
  return out;
}

/** Spans of equal length, each with a state of `floats` of its own, for each copy of `states`. */
std::vector<Span> spans_of(int rows, int spans, const Rotating& states, size_t floats) {
  std::vector<Span> out;
  for (int copy = 0; copy < states.copies; ++copy)
    for (int s = 0; s < spans; ++s) out.push_back({rows / spans * s, rows / spans, states.at<float>(copy) + size_t(s) * floats});
  return out;
}

}  // namespace

ProfileKernels::ProfileKernels(const CudaOptions& options, const ProfileShape& shape)
    : shape_(shape),
      m_(shape.model),
      effort_(shape.small ? Effort{0, 1, 1, 0} : Effort{kRotatedBytes, 8, 5, 2e-3}),
      uploader_(size_t(8) << 20),
      pools_(uploader_),
      table_(allocate_device(size_t(m_.vocab_size) * m_.d_model * 2)) {
  std::string missing;
  gemm_ = open_gemm(device_facts(options.device), shape.chunk, uploader_, missing);
  pools_.fill(stream_, table_.get(), size_t(m_.vocab_size) * m_.d_model * 2, Values::bf16);
}

Scratch ProfileKernels::scratch() { return Scratch(stream_, uploader_, pools_, effort_); }

WeightView ProfileKernels::Weight::view(int i) const { return {dtype, data.at(i), scales.at<float>(i), code, n_in, n_out, dtype == Dtype::code4 ? kNf4Block : 0}; }

ProfileKernels::Weight ProfileKernels::weight(Scratch& scratch, Dtype dtype, int n_in, int n_out) {
  const size_t cells = size_t(n_in) * n_out, bytes = bytes_of(dtype, cells);
  const bool rows = dtype == Dtype::int8 || dtype == Dtype::fp8;
  const size_t scales = dtype == Dtype::code4 ? cells / kNf4Block * 4 : rows ? size_t(n_out) * 4 : 0;
  return {scratch.rotating(bytes, values_of(dtype)), scales ? scratch.rotating(scales, Values::positive) : Rotating(),
          dtype == Dtype::code4 ? scratch.uploaded(std::vector<cuda::Codes>{cuda::Codes::of(kNf4)}) : nullptr, dtype, n_in, n_out, double(bytes + scales)};
}

ProfileKernels::Shape ProfileKernels::shape(Projection which) const {
  switch (which) {
    case Projection::in_proj: return {m_.d_model, 2 * m_.d_inner, true, false};
    case Projection::x_proj: return {m_.d_inner, mixed(), false, false};
    case Projection::dt_proj: return {m_.dt_rank, m_.d_inner, false, false};
    case Projection::out_proj: return {m_.d_inner, m_.d_model, false, true};
  }
  return {};
}

const char* ProfileKernels::name_of(Projection which) {
  const char* const names[] = {"in_proj", "x_proj", "dt_proj", "out_proj"};
  return names[int(which)];
}

std::string ProfileKernels::shape_of(Projection which) const {
  const Shape s = shape(which);
  return std::to_string(s.n_in) + " x " + std::to_string(s.n_out);
}

ProfileKernels::Measured ProfileKernels::embed(int rows) {
  Scratch s = scratch();
  const int32_t* const tokens = s.uploaded(tokens_for(rows, m_.vocab_size));
  const Rotating out = s.activation(size_t(rows) * m_.d_model * 4, Values::f32);
  return {"embed", {double(rows) * m_.d_model * 6 + 4.0 * rows},
          s.microseconds([&](int i) { cuda::embed(stream_, {table_.get(), Dtype::bf16, m_.d_model, tokens, out.at<float>(i), m_.d_model}, rows); })};
}

ProfileKernels::Measured ProfileKernels::rms_norm(int rows) {
  Scratch s = scratch();
  const Rotating x = s.activation(size_t(rows) * m_.d_model * 4, Values::f32), out = s.activation(size_t(rows) * m_.d_model * 2, Values::bf16);
  const Rotating w = s.rotating(size_t(m_.d_model) * 4, Values::positive);
  return {"rms_norm", {double(rows) * m_.d_model * 6 + 4.0 * m_.d_model}, s.microseconds([&](int i) {
            cuda::rms_norm(stream_, {x.at<float>(i), m_.d_model, w.at<float>(i), m_.d_model, m_.norm_eps, {out.at(i), m_.d_model, true}}, rows);
          })};
}

ProfileKernels::Measured ProfileKernels::causal_conv1d(int rows, int spans) {
  Scratch s = scratch();
  const size_t state_floats = size_t(m_.d_conv - 1) * m_.d_inner;
  const Rotating xz = s.activation(size_t(rows) * 2 * m_.d_inner * 2, Values::bf16), u = s.activation(size_t(rows) * m_.d_inner * 2, Values::bf16);
  const Rotating states = s.rotating(size_t(spans) * state_floats * 4, Values::f32), w = s.rotating(size_t(m_.d_conv + 1) * m_.d_inner * 4, Values::f32);
  const Span* const all = s.uploaded(spans_of(rows, spans, states, state_floats));
  std::vector<ConvTile> tiles;
  const int length = rows / spans;
  for (int span = 0; span < spans; ++span)
    for (int first = 0; first < length; first += kConvTileRows) tiles.push_back({span, first, std::min(kConvTileRows, length - first)});
  const ConvTile* const on_device = s.uploaded(tiles);
  const double bytes = double(rows) * m_.d_inner * 4 + 8.0 * double(spans) * double(state_floats) + 4.0 * (m_.d_conv + 1) * m_.d_inner;
  return {"causal_conv1d, conv_state", {bytes}, s.microseconds([&](int i) {
            const float* const taps = w.at<float>(i);
            const ConvWeights weights{taps, taps + size_t(m_.d_conv) * m_.d_inner, m_.d_conv};
            const ConvArgs args{weights, m_.d_inner, {xz.at(i), 2 * m_.d_inner, true}, {u.at(i), m_.d_inner, true}, all + size_t(i % states.copies) * spans, on_device, 0};
            cuda::causal_conv1d(stream_, args, int(tiles.size()), spans, length > kConvTileRows);
          })};
}

ProfileKernels::Measured ProfileKernels::mixer_norms(int rows) {
  Scratch s = scratch();
  const Rotating x = s.activation(size_t(rows) * mixed() * 4, Values::f32), dt_in = s.activation(size_t(rows) * m_.dt_rank * 2, Values::bf16);
  const int rank = padded(m_.dt_rank), states = padded(m_.d_state);
  return {"mixer_norms", {double(rows) * (4.0 * mixed() + 2.0 * m_.dt_rank + 8.0 * m_.d_state)}, s.microseconds([&](int i) {
            float* const row = x.at<float>(i);
            cuda::mixer_norms(stream_, {row, row + rank, row + rank + states, mixed(), m_.dt_rank, m_.d_state, m_.mixer_rms_eps, {dt_in.at(i), m_.dt_rank, true}, rows});
          })};
}

ProfileKernels::Measured ProfileKernels::selective_scan(int rows, int spans) {
  Scratch s = scratch();
  const size_t state_floats = size_t(m_.d_state) * m_.d_inner, cells = size_t(rows) * m_.d_inner;
  const Rotating u = s.activation(cells * 2, Values::bf16), xz = s.activation(cells * 4, Values::bf16), y = s.activation(cells * 2, Values::bf16);
  const Rotating dt = s.activation(cells * 4, Values::f32), mix = s.activation(size_t(rows) * mixed() * 4, Values::f32);
  const Rotating a = s.rotating(state_floats * 4, Values::rates), d = s.rotating(size_t(m_.d_inner) * 8, Values::f32);
  const Rotating states = s.rotating(size_t(spans) * state_floats * 4, Values::f32);
  const Span* const all = s.uploaded(spans_of(rows, spans, states, state_floats));
  const double bytes = double(cells) * 10 + double(rows) * m_.d_state * 8 + double(state_floats) * 4 * (1 + 2 * spans) + 8.0 * m_.d_inner;
  // An exponential a state, and two exponentials, a logarithm and a reciprocal of softplus and the gate.
  return {"selective_scan", {bytes, 0, false, double(cells) * (m_.d_state + 4)}, s.microseconds([&](int i) {
            const ScanWeights w{a.at<float>(i), d.at<float>(i), d.at<float>(i) + m_.d_inner, m_.d_state};
            const float* const b = mix.at<float>(i) + padded(m_.dt_rank);
            cuda::selective_scan(stream_,
                                 {w, m_.d_inner, {u.at(i), m_.d_inner, true}, {xz.at<uint16_t>(i) + m_.d_inner, 2 * m_.d_inner, true}, {y.at(i), m_.d_inner, true},
                                  dt.at<float>(i), b, b + padded(m_.d_state), m_.d_inner, mixed(), mixed(), all + size_t(i % states.copies) * spans, 0},
                                 spans);
          })};
}

ProfileKernels::Measured ProfileKernels::product(Projection which, Dtype dtype, int rows) {
  Scratch s = scratch();
  const Shape p = shape(which);
  const Weight w = weight(s, dtype, p.n_in, p.n_out);
  const size_t y_bytes = size_t(rows) * p.n_out * (p.bf16 ? 2 : 4);
  const Rotating x = s.activation(size_t(rows) * p.n_in * 2, Values::bf16), y = s.activation(y_bytes, p.bf16 ? Values::bf16 : Values::f32);
  const double flop = 2.0 * rows * double(p.n_in) * p.n_out;
  const double bytes = w.bytes + double(rows) * p.n_in * 2 + double(y_bytes) * (p.accumulate ? 2 : 1);
  std::string kernel = "cuBLASLt";
  const auto multiply = [&](const LinearArgs& args) {
    if (gemm_ && gemm_->run(stream_, args)) return;
    linear_tiles(stream_, args);
    kernel = "linear_tiles";
  };
  const auto args_of = [&](int i) { return LinearArgs{w.view(i), nullptr, {x.at(i), p.n_in, true}, rows, {y.at(i), p.n_out, p.bf16}, p.accumulate}; };
  double us = 0;
  if (dtype == Dtype::bf16) {
    us = s.microseconds([&](int i) { multiply(args_of(i)); });
    return {kernel, {bytes, flop}, us};
  }
  if (dtype == Dtype::fp8 && gemm_ && gemm_->has_fp8()) {
    const Rotating x8 = s.activation(size_t(rows) * p.n_in, Values::e4m3), scales = s.kept(size_t(rows) * 4, Values::positive);
    const Rotating product = s.activation(size_t(rows) * p.n_out * 4, Values::f32);
    bool ran = true;
    us = s.microseconds([&](int i) {
      const LinearArgs a = args_of(i);
      cuda::quantize_rows(stream_, {a.x, p.n_in, x8.at<uint8_t>(i), scales.at<float>(i)}, rows);
      ran = gemm_->run_fp8(stream_, {a.w, x8.at<uint8_t>(i), scales.at<float>(i), product.at<float>(i), rows, a.y, p.accumulate});
    });
    if (ran) return {"quantize_rows, cuBLASLt fp8", {bytes, flop, true}, us};
  }
  const Rotating slab = s.kept(size_t(slab_rows(p.n_in, p.n_out)) * p.n_in * 2, Values::bf16);
  us = s.microseconds([&](int i) {
    LinearArgs a = args_of(i);
    const LinearArgs whole = a;
    const int step = slab_rows(p.n_in, p.n_out);
    for (int first = 0; first < p.n_out; first += step) {
      const WeightView part = rows_of(whole.w, first, std::min(step, p.n_out - first));
      cuda::dequantize(stream_, part, slab.at<uint16_t>(0));
      a.w = {Dtype::bf16, slab.at(0), nullptr, nullptr, part.n_in, part.n_out, 0};
      a.y = columns_of(whole.y, first);
      multiply(a);
    }
  });
  return {"dequantize, " + kernel, {bytes, flop}, us};
}

ProfileKernels::Measured ProfileKernels::many_rows(int rows, Shape p) {
  Scratch s = scratch();
  const Weight w = weight(s, Dtype::bf16, p.n_in, p.n_out);
  const size_t y_bytes = size_t(rows) * p.n_out * (p.bf16 ? 2 : 4);
  const Rotating x = s.activation(size_t(rows) * p.n_in * 2, Values::bf16), y = s.activation(y_bytes, p.bf16 ? Values::bf16 : Values::f32);
  const double bytes = w.bytes + double(rows) * p.n_in * 2 + double(y_bytes) * (p.accumulate ? 2 : 1);
  return {"linear_tiles", {bytes, 2.0 * rows * double(p.n_in) * p.n_out}, s.microseconds([&](int i) {
            linear_tiles(stream_, {w.view(i), nullptr, {x.at(i), p.n_in, true}, rows, {y.at(i), p.n_out, p.bf16}, p.accumulate});
          })};
}
ProfileKernels::Measured ProfileKernels::tiles(Projection which, int rows) { return many_rows(rows, shape(which)); }
ProfileKernels::Measured ProfileKernels::lm_head_read(int rows) { return many_rows(rows, {m_.d_model, padded(m_.vocab_size), false, false}); }

ProfileKernels::Measured ProfileKernels::dequantize(Dtype dtype) {
  Scratch s = scratch();
  const Shape p = shape(Projection::in_proj);
  const Weight w = weight(s, dtype, p.n_in, p.n_out);
  const int step = slab_rows(p.n_in, p.n_out);
  const Rotating slab = s.kept(size_t(step) * p.n_in * 2, Values::bf16);
  // What is expanded stays in the cache: only the codes come from memory.
  return {"dequantize", {w.bytes}, s.microseconds([&](int i) {
            for (int first = 0; first < p.n_out; first += step)
              cuda::dequantize(stream_, rows_of(w.view(i), first, std::min(step, p.n_out - first)), slab.at<uint16_t>(0));
          })};
}

ProfileKernels::Measured ProfileKernels::quantize_rows(int rows) {
  Scratch s = scratch();
  const size_t cells = size_t(rows) * m_.d_inner;
  const Rotating x = s.activation(cells * 2, Values::bf16), out = s.activation(cells, Values::bytes), scales = s.kept(size_t(rows) * 4, Values::f32);
  return {"quantize_rows", {double(cells) * 3 + 4.0 * rows}, s.microseconds([&](int i) {
            cuda::quantize_rows(stream_, {{x.at(i), m_.d_inner, true}, m_.d_inner, out.at<uint8_t>(i), scales.at<float>(i)}, rows);
          })};
}

ProfileKernels::Measured ProfileKernels::scale_product(int rows) {
  Scratch s = scratch();
  const size_t cells = size_t(rows) * 2 * m_.d_inner;
  const int width = 2 * m_.d_inner;
  const Rotating product = s.activation(cells * 4, Values::f32), y = s.activation(cells * 2, Values::bf16);
  const Rotating x_scales = s.kept(size_t(rows) * 4, Values::positive), w_scales = s.kept(size_t(width) * 4, Values::positive);
  return {"scale_product", {double(cells) * 6 + 4.0 * (rows + width)}, s.microseconds([&](int i) {
            cuda::scale_product(stream_, {product.at<float>(i), x_scales.at<float>(i), w_scales.at<float>(i), width, {y.at(i), width, true}, false}, rows);
          })};
}

ProfileKernels::Measured ProfileKernels::in_proj_conv(Dtype dtype, int rows) {
  Scratch s = scratch();
  const Shape p = shape(Projection::in_proj);
  const Weight w = weight(s, dtype, p.n_in, p.n_out);
  const size_t state_floats = size_t(m_.d_conv - 1) * m_.d_inner;
  const Rotating x = s.kept(size_t(rows) * p.n_in * 2, Values::bf16), xz = s.kept(size_t(rows) * p.n_out * 2, Values::bf16), u = s.kept(size_t(rows) * m_.d_inner * 2, Values::bf16);
  const Rotating states = s.rotating(size_t(rows) * state_floats * 4, Values::f32), taps = s.rotating(size_t(m_.d_conv + 1) * m_.d_inner * 4, Values::f32);
  const Span* const all = s.uploaded(spans_of(rows, rows, states, state_floats));
  const double bytes = w.bytes + double(rows) * (2.0 * p.n_in + 4.0 * m_.d_inner + 8.0 * double(state_floats)) + 4.0 * (m_.d_conv + 1) * m_.d_inner;
  return {"in_proj_conv", {bytes}, s.microseconds([&](int i) {
            const LinearArgs linear{w.view(i), nullptr, {x.at(0), p.n_in, true}, rows, {xz.at(0), p.n_out, true}, false};
            const float* const weights = taps.at<float>(i);
            cuda::in_proj_conv(stream_, {linear, {weights, weights + size_t(m_.d_conv) * m_.d_inner, m_.d_conv}, m_.d_inner,
                                         all + size_t(i % states.copies) * rows, 0, {u.at(0), m_.d_inner, true}});
          })};
}

ProfileKernels::Measured ProfileKernels::few_rows(Dtype dtype, int rows, Shape p) {
  Scratch s = scratch();
  const Weight w = weight(s, dtype, p.n_in, p.n_out);
  const size_t y_bytes = size_t(rows) * p.n_out * (p.bf16 ? 2 : 4);
  const Rotating x = s.kept(size_t(rows) * p.n_in * 2, Values::bf16), y = s.kept(y_bytes, Values::f32);
  const double bytes = w.bytes + double(rows) * p.n_in * 2 + double(y_bytes) * (p.accumulate ? 2 : 1);
  return {"linear_mma", {bytes}, s.microseconds([&](int i) {
            linear_mma(stream_, {w.view(i), nullptr, {x.at(0), p.n_in, true}, rows, {y.at(0), p.n_out, p.bf16}, p.accumulate});
          })};
}
ProfileKernels::Measured ProfileKernels::x_proj(Dtype dtype, int rows) { return few_rows(dtype, rows, shape(Projection::x_proj)); }
ProfileKernels::Measured ProfileKernels::out_proj(Dtype dtype, int rows) { return few_rows(dtype, rows, shape(Projection::out_proj)); }
ProfileKernels::Measured ProfileKernels::lm_head(Dtype dtype, int rows) { return few_rows(dtype, rows, {m_.d_model, padded(m_.vocab_size), false, false}); }

ProfileKernels::Measured ProfileKernels::selective_state_update(Dtype dtype, int rows) {
  Scratch s = scratch();
  const Shape p = shape(Projection::dt_proj);
  const Weight w = weight(s, dtype, p.n_in, p.n_out);
  const size_t state_floats = size_t(m_.d_state) * m_.d_inner;
  const Rotating mix = s.kept(size_t(rows) * mixed() * 4, Values::f32), u = s.kept(size_t(rows) * m_.d_inner * 2, Values::bf16);
  const Rotating z = s.kept(size_t(rows) * m_.d_inner * 4, Values::bf16), y = s.kept(size_t(rows) * m_.d_inner * 2, Values::bf16);
  const Rotating a = s.rotating(state_floats * 4, Values::rates), d = s.rotating(size_t(m_.d_inner) * 8, Values::f32);
  const Rotating states = s.rotating(size_t(rows) * state_floats * 4, Values::f32);
  const Span* const all = s.uploaded(spans_of(rows, rows, states, state_floats));
  const double bytes = w.bytes + double(state_floats) * 4 * (1 + 2.0 * rows) + 8.0 * m_.d_inner + double(rows) * (6.0 * m_.d_inner + 4.0 * mixed());
  return {"selective_state_update", {bytes}, s.microseconds([&](int i) {
            const ScanWeights scan{a.at<float>(i), d.at<float>(i), d.at<float>(i) + m_.d_inner, m_.d_state};
            const float* const dt = mix.at<float>(0);
            const int rank = padded(m_.dt_rank);
            cuda::selective_state_update(stream_, {w.view(i), scan, m_.d_inner, rows, m_.dt_rank, dt, dt + rank, dt + rank + padded(m_.d_state), mixed(), true,
                                                   m_.mixer_rms_eps, {u.at(0), m_.d_inner, true}, {z.at<uint16_t>(0) + m_.d_inner, 2 * m_.d_inner, true},
                                                   {y.at(0), m_.d_inner, true}, all + size_t(i % states.copies) * rows, 0});
          })};
}

ProfileKernels::Measured ProfileKernels::gather(int rows) {
  Scratch s = scratch();
  const Rotating x = s.kept(size_t(rows) * m_.d_model * 4, Values::f32), out = s.kept(size_t(rows) * m_.d_model * 4, Values::f32);
  const int32_t* const source = s.uploaded(tokens_for(rows, rows));
  return {"gather", {double(rows) * m_.d_model * 8 + 4.0 * rows},
          s.microseconds([&](int) { cuda::gather(stream_, {x.at<float>(0), m_.d_model, source, m_.d_model, out.at<float>(0), m_.d_model}, rows); })};
}

ProfileKernels::Measured ProfileKernels::shortlist(int rows) {
  Scratch s = scratch();
  const int ld = padded(m_.vocab_size);
  const Rotating logits = s.activation(size_t(rows) * ld * 4, Values::f32), found = s.kept(size_t(rows) * sizeof(ShortlistFound), Values::bytes);
  const Rotating ids = s.kept(size_t(rows) * kMostShort * 4, Values::bytes), z = s.kept(size_t(rows) * kMostShort * 4, Values::f32), saved = s.kept(256, Values::f32);
  std::vector<ShortlistSpec> specs;
  for (int r = 0; r < rows; ++r) specs.push_back({r, 0.7f, 1.0f, 50, 0, 0});
  const ShortlistSpec* const on_device = s.uploaded(specs);
  return {"shortlist", {double(rows) * m_.vocab_size * 4}, s.microseconds([&](int i) {
            cuda::shortlist(stream_, {logits.at<float>(i), ld, m_.vocab_size, on_device, nullptr, saved.at<float>(0), found.at<ShortlistFound>(0), ids.at<int32_t>(0), z.at<float>(0)}, rows);
          })};
}

ProfileKernels::Measured ProfileKernels::log_probs(int rows) {
  Scratch s = scratch();
  const int ld = padded(m_.vocab_size);
  const Rotating logits = s.activation(size_t(rows) * ld * 4, Values::f32);
  const Rotating out = s.kept(size_t(rows) * 4, Values::f32), best = s.kept(size_t(rows) * kMaxTop * 4, Values::f32);
  const int32_t *const targets = s.uploaded(tokens_for(rows, m_.vocab_size)), *const tops = s.uploaded(std::vector<int32_t>(rows, 0));
  return {"log_probs", {double(rows) * m_.vocab_size * 4}, s.microseconds([&](int i) {
            cuda::log_probs(stream_, {logits.at<float>(i), ld, m_.vocab_size, targets, tops, out.at<float>(0), best.at<int32_t>(0), best.at<float>(0)}, rows);
          })};
}

ProfileKernels::Measured ProfileKernels::convert(int rows) {
  Scratch s = scratch();
  const Rotating x = s.activation(size_t(rows) * m_.d_inner * 4, Values::f32), out = s.activation(size_t(rows) * m_.d_inner * 2, Values::bf16);
  return {"convert", {double(rows) * m_.d_inner * 6},
          s.microseconds([&](int i) { cuda::convert(stream_, {x.at<float>(i), m_.d_inner, m_.d_inner, out.at<uint16_t>(i), m_.d_inner}, rows); })};
}

ProfileKernels::Measured ProfileKernels::launch_alone() {
  Scratch s = scratch();
  const Rotating x = s.kept(64, Values::f32), out = s.kept(32, Values::bf16);
  return {"convert", {96}, s.microseconds([&](int) { cuda::convert(stream_, {x.at<float>(0), 16, 16, out.at<uint16_t>(0), 16}, 1); })};
}

ProfileKernels::Measured ProfileKernels::add_bias(int rows) {
  Scratch s = scratch();
  const int width = 2 * m_.d_inner;
  const Rotating y = s.activation(size_t(rows) * width * 2, Values::bf16), bias = s.kept(size_t(width) * 4, Values::f32);
  return {"add_bias", {double(rows) * width * 4 + 4.0 * width}, s.microseconds([&](int i) { cuda::add_bias(stream_, {bias.at<float>(0), width, {y.at(i), width, true}}, rows); })};
}

ProfileKernels::Measured ProfileKernels::linear_f32(int rows) {
  Scratch s = scratch();
  const Shape p = shape(Projection::x_proj);
  const Weight w = weight(s, Dtype::f32, p.n_in, p.n_out);
  const Rotating x = s.kept(size_t(rows) * p.n_in * 4, Values::f32), y = s.kept(size_t(rows) * p.n_out * 4, Values::f32);
  return {"linear_f32", {w.bytes + 4.0 * rows * (p.n_in + p.n_out)}, s.microseconds([&](int i) {
            cuda::linear_f32(stream_, {w.view(i), nullptr, {x.at(0), p.n_in, false}, rows, {y.at(0), p.n_out, false}, false});
          })};
}

std::vector<Gemm::Candidate> ProfileKernels::candidates(Projection which, bool fp8) {
  if (!gemm_ || (fp8 && !gemm_->has_fp8())) return {};
  Scratch s = scratch();
  const Shape p = shape(which);
  const int rows = shape_.chunk;
  const Weight w = weight(s, fp8 ? Dtype::fp8 : Dtype::bf16, p.n_in, p.n_out);
  const Rotating x = s.kept(size_t(rows) * p.n_in * 2, fp8 ? Values::e4m3 : Values::bf16), y = s.kept(size_t(rows) * p.n_out * 4, Values::f32);
  const Typed to{y.at(0), p.n_out, p.bf16};
  if (!fp8) return gemm_->candidates(stream_, {w.view(0), nullptr, {x.at(0), p.n_in, true}, rows, to, p.accumulate});
  const Rotating scales = s.kept(size_t(rows) * 4, Values::positive), product = s.kept(size_t(rows) * p.n_out * 4, Values::f32);
  return gemm_->candidates_fp8(stream_, {w.view(0), x.at<uint8_t>(0), scales.at<float>(0), product.at<float>(0), rows, to, p.accumulate});
}

}  // namespace longhaul
