// The ops of a backend with random inputs, and what they are in double precision: for ops_test and gpu_check.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "backend/backend.h"
#include "backend/math/convert.h"

namespace longhaul::op_cases {

using Floats = std::vector<float>;
using Doubles = std::vector<double>;

inline Floats random_floats(size_t n, uint32_t seed, float scale = 1.0f) {
  std::mt19937 generator(seed);
  Floats out(n);
  for (float& x : out) x = (float(generator()) * 0x1p-31f - 1.0f) * scale;
  return out;
}

/** Backend memory that frees itself. */
struct Device {
  Backend& backend;
  float* data;
  size_t size;
  Device(Backend& b, size_t n) : backend(b), data(b.allocate(n)), size(n) {}
  Device(Backend& b, const Floats& v) : Device(b, v.size()) { b.upload(data, v.data(), size); }
  Device(const Device&) = delete;
  ~Device() { backend.release(data); }
  Floats host() const {
    Floats out(size);
    backend.download(out.data(), data, size);
    return out;
  }
};

/** Activations in the element that the backend keeps them in. */
struct Activation {
  Device device;
  Element element;
  size_t size;
  Activation(Backend& backend, const Floats& values)
      : device(backend, stored(values, backend.activation_element())), element(backend.activation_element()), size(values.size()) {}
  Rows rows(int ld) const { return {device.data, ld, element}; }
  Floats host() const {
    Floats raw = device.host();
    if (element == Element::f32) return raw;
    Floats out(size);
    for (size_t i = 0; i < size; ++i) {
      uint16_t half;
      std::memcpy(&half, reinterpret_cast<const char*>(raw.data()) + 2 * i, 2);
      out[i] = math::from_bf16(half);
    }
    return out;
  }

 private:
  static Floats stored(const Floats& values, Element element) {
    if (element == Element::f32) return values;
    Floats out((values.size() + 1) / 2);
    for (size_t i = 0; i < values.size(); ++i) {
      const uint16_t half = math::to_bf16(values[i]);
      std::memcpy(reinterpret_cast<char*>(out.data()) + 2 * i, &half, 2);
    }
    return out;
  }
};

/** (rows, width) into rows padded with zeros. */
inline Floats padded_rows(const Floats& x, int rows, int width) {
  Floats out(size_t(rows) * padded(width));
  for (int r = 0; r < rows; ++r) std::copy_n(&x[size_t(r) * width], width, &out[size_t(r) * padded(width)]);
  return out;
}

struct Case {
  std::string name;
  std::function<Floats(Backend&)> run;
  std::function<Doubles()> reference;  // same length as run's result
  double tolerance;                    // absolute
  Activations activations = Activations::f32;
  // Where activations are bf16: absolute, and relative to the result; and what it is there, where rounding inside the op counts.
  double bf16_tolerance = 0, bf16_relative = 0;
  std::function<Doubles()> bf16_reference = reference;
};

inline double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
inline double softplus(double x) { return x > 20 ? x : std::log1p(std::exp(x)); }

/** A random weight in one format, and its values. */
struct Weight {
  Dtype dtype;
  int rows, cols, block_size;
  std::vector<uint8_t> data;
  Floats scales, code, values;
  HostMatrix host() const { return {data.data(), dtype, rows, cols, scales.data(), code.data(), block_size}; }
};

inline const float nf4[16] = {-1.0f, -0.69619280f, -0.52507305f, -0.39491749f, -0.28444138f, -0.18477343f, -0.09105004f, 0.0f,
                       0.07958030f, 0.16093020f, 0.24611230f, 0.33791524f, 0.44070983f, 0.56261700f, 0.72295684f, 1.0f};

inline Weight random_weight(Dtype dtype, int rows, int cols, int block_size, uint32_t seed) {
  const size_t n = size_t(rows) * cols;
  std::mt19937 generator(seed);
  Weight w{dtype, rows, cols, block_size, std::vector<uint8_t>(4 * n), random_floats(n + rows, seed + 1), {}, Floats(n)};
  for (float& x : w.scales) x = std::fabs(x) * (dtype == Dtype::int8 ? 1 / 127.0f : dtype == Dtype::fp8 ? 1 / 448.0f : 1.0f);
  w.code.assign(nf4, nf4 + 16);
  for (size_t i = 0; i < n; ++i) {
    const float x = float(generator()) * 0x1p-31f - 1.0f;
    const uint16_t half = dtype == Dtype::bf16 ? uint16_t(uint32_t(math::float_bits(x)) >> 16)
                                               : uint16_t((generator() & 0x83ff) | (8 + generator() % 8) << 10);
    if (dtype == Dtype::f32) std::memcpy(&w.data[4 * i], &x, 4);
    if (dtype == Dtype::bf16 || dtype == Dtype::f16) std::memcpy(&w.data[2 * i], &half, 2);
    if (dtype == Dtype::int8 || dtype == Dtype::code4) w.data[i] = uint8_t(generator());
    if (dtype == Dtype::fp8) w.data[i] = uint8_t((generator() & 0x80) | generator() % 0x7f);
  }
  for (int r = 0; r < rows; ++r)
    for (int k = 0; k < cols; ++k) w.values[size_t(r) * cols + k] = math::element(w.host(), r, k);
  return w;
}

inline const char* name_of(Dtype dtype) {
  const char* const names[] = {"f32", "f16", "bf16", "int8", "code4", "fp8"};
  return names[int(dtype)];
}

struct LinearShape {
  int rows, n_in, n_out;
  bool bias, accumulate;
  bool reading = false;  // in a block of one sequence
};

/**
 * How far off a term of a sum may be for the rounding of x. bf16: half a unit in the ninth bit. int8: half of 1 / 127 of a
 * group's largest x, and for codes half of 1 / 64 of the largest code at most. Reading by fp8 weights: half of 1 / 8 of each x,
 * whose terms mostly are far smaller than one.
 */
inline double rounding(Dtype dtype, bool reading) {
  switch (dtype) {
    case Dtype::bf16: return 0x1p-9;
    case Dtype::int8:
    case Dtype::code4: return 1.0 / 254;
    case Dtype::fp8: return reading ? 1.0 / 1024 : 0;
    default: return 0;
  }
}

inline Case linear_case(LinearShape s, Dtype dtype, Activations activations = Activations::f32, int block_size = 64) {
  const int rows = s.rows, n_in = s.n_in, n_out = s.n_out;
  const bool bias = s.bias, accumulate = s.accumulate, reading = s.reading;
  const Floats x = random_floats(size_t(rows) * n_in, 1), b = random_floats(padded(n_out), 3);
  const Floats y0 = random_floats(size_t(rows) * padded(n_out), 4);
  const Weight w = random_weight(dtype, n_out, n_in, block_size, 2);
  const bool matched = activations == Activations::matched;
  // Rounding errors of the chain, and of x, which add up like a random walk.
  const double chain = 1e-6 * (n_in + 4), walk = std::sqrt(double(n_in));
  const double tolerance = chain + (matched ? 4 * rounding(dtype, reading) * walk : 0);
  const std::string name = "linear " + std::to_string(rows) + "x" + std::to_string(n_in) + "x" + std::to_string(n_out) + " " +
                           name_of(dtype) + (block_size == 64 ? "" : " block " + std::to_string(block_size)) +
                           (matched ? " matched" : "") + (reading ? " reading" : "") + (bias ? " bias" : "") +
                           (accumulate ? " accumulate" : "");
  return {name,
          [=](Backend& backend) {
            const auto matrix = backend.pack(w.host(), {n_out});
            // What the first product of a shape may overwrite.
            const size_t room = reading ? size_t(backend.block_rows()) : size_t(rows);
            Floats wide_x = padded_rows(x, rows, n_in), wide_y = y0;
            wide_x.resize(room * padded(n_in));
            wide_y.resize(room * padded(n_out));
            const Activation dx(backend, wide_x);
            const Device db(backend, b), dy(backend, wide_y);
            const auto product = [&](int) {
              backend.linear(*matrix, bias ? db.data : nullptr, dx.rows(padded(n_in)), rows, {dy.data, padded(n_out)}, accumulate);
            };
            const Block block{false, std::vector<int32_t>(rows), {{0, rows, dy.data}}};
            if (reading) {
              backend.run_block(block, product);
              const Activation again(backend, wide_x);
              backend.copy(dx.device.data, again.device.data, dx.device.size);
              backend.upload(dy.data, wide_y.data(), wide_y.size());
              backend.run_block(block, product);
            } else {
              product(rows);
            }
            Floats found = dy.host();
            found.resize(size_t(rows) * padded(n_out));
            return found;
          },
          [=] {
            Doubles out;
            for (int r = 0; r < rows; ++r)
              for (int n = 0; n < padded(n_out); ++n) {
                double sum = (bias ? b[n] : 0) + (accumulate ? y0[size_t(r) * padded(n_out) + n] : 0);
                for (int k = 0; n < n_out && k < n_in; ++k) sum += double(x[size_t(r) * n_in + k]) * w.values[size_t(n) * n_in + k];
                out.push_back(sum);
              }
            return out;
          },
          tolerance, activations, reading && dtype == Dtype::fp8 ? tolerance : chain + 8.0 / 254 * walk};
}

inline Case norm_case(int rows, int width, bool weighted, float eps) {
  const Floats x = random_floats(size_t(rows) * width, 5, 3.0f);
  Floats w = random_floats(padded(width), 6);
  std::fill(w.begin() + width, w.end(), 0.0f);
  return {"rms_norm " + std::to_string(rows) + "x" + std::to_string(width) + (weighted ? " weighted" : ""),
          [=](Backend& backend) {
            const Device dx(backend, padded_rows(x, rows, width)), dw(backend, w);
            backend.rms_norm({dx.data, padded(width)}, weighted ? dw.data : nullptr, width, eps, rows, {dx.data, padded(width)});
            return dx.host();
          },
          [=] {
            Doubles out;
            for (int r = 0; r < rows; ++r) {
              double squares = 0;
              for (int i = 0; i < width; ++i) squares += double(x[size_t(r) * width + i]) * x[size_t(r) * width + i];
              for (int i = 0; i < padded(width); ++i)
                out.push_back(i < width ? (weighted ? w[i] : 1.0) * x[size_t(r) * width + i] / std::sqrt(squares / width + eps) : 0);
            }
            return out;
          },
          4e-6};
}

/** Two sequences of different length in one block, with states that are not zero. */
struct Sequences {
  int rows[2], width;
  int total() const { return rows[0] + rows[1]; }
  Block block(float* states, size_t floats) const {
    return {false, std::vector<int32_t>(total()), {{0, rows[0], states}, {rows[0], rows[1], states + floats}}};
  }
};

inline Case conv_case(int first, int second, int d_inner, int d_conv) {
  const Sequences s{{first, second}, padded(d_inner)};
  const int history = d_conv - 1;
  const size_t state_floats = size_t(history) * s.width + 16;
  const Floats x = padded_rows(random_floats(size_t(s.total()) * d_inner, 7, 2.0f), s.total(), d_inner);
  const Floats w = padded_rows(random_floats(size_t(d_conv) * d_inner, 8), d_conv, d_inner);
  const Floats b = padded_rows(random_floats(d_inner, 9), 1, d_inner), state = random_floats(state_floats * 2, 10);
  return {"causal_conv1d " + std::to_string(first) + "+" + std::to_string(second) + "x" + std::to_string(d_inner) + " taps " +
              std::to_string(d_conv),
          [=](Backend& backend) {
            const Activation dx(backend, x), du(backend, Floats(x.size()));
            const Device dw(backend, w), db(backend, b), ds(backend, state);
            const Block block = s.block(ds.data, state_floats);
            backend.run_block(block, [&](int) {
              backend.causal_conv1d({dw.data, db.data, d_conv}, d_inner, dx.rows(s.width), block, 0, du.rows(s.width));
            });
            Floats out = du.host();
            const Floats after = ds.host();
            out.insert(out.end(), after.begin(), after.end());
            return out;
          },
          [=] {
            Doubles out(x.size()), after(state.begin(), state.end());
            for (int q = 0, row = 0; q < 2; row += s.rows[q++]) {
              const auto column = [&](int t, int i) -> double {
                return t < 0 ? state[q * state_floats + size_t(history + t) * s.width + i] : x[size_t(row + t) * s.width + i];
              };
              for (int t = 0; t < s.rows[q]; ++t)
                for (int i = 0; i < s.width; ++i) {
                  double sum = b[i];
                  for (int k = 0; k < d_conv; ++k) sum += w[size_t(k) * s.width + i] * column(t - history + k, i);
                  out[size_t(row + t) * s.width + i] = sum * sigmoid(sum);
                }
              for (int j = 0; j < history; ++j)
                for (int i = 0; i < s.width; ++i)
                  after[q * state_floats + size_t(j) * s.width + i] = column(s.rows[q] - history + j, i);
            }
            out.insert(out.end(), after.begin(), after.end());
            return out;
          },
          4e-6, Activations::f32, 0.02, 0.01};
}

inline Case scan_case(int first, int second, int d_inner, int d_state) {
  const Sequences s{{first, second}, padded(d_inner)};
  const int n_pad = padded(d_state);
  const size_t state_floats = size_t(d_state) * s.width;
  const auto rows = [&](int width, uint32_t seed) {
    return padded_rows(random_floats(size_t(s.total()) * width, seed, 2.0f), s.total(), width);
  };
  const auto activations = [&](uint32_t seed) {
    Floats out = rows(d_inner, seed);
    for (float& v : out) v = math::from_bf16(math::to_bf16(v));
    return out;
  };
  const Floats u = activations(11), dt = rows(d_inner, 12), z = activations(13), b = rows(d_state, 14), c = rows(d_state, 15);
  const Floats d = random_floats(s.width, 16), dt_bias = random_floats(s.width, 17), state = random_floats(state_floats * 2, 18);
  Floats a = random_floats(state_floats, 19);
  for (float& value : a) value = -8.0f * std::fabs(value);
  return {"selective_scan " + std::to_string(first) + "+" + std::to_string(second) + "x" + std::to_string(d_inner) + " states " +
              std::to_string(d_state),
          [=](Backend& backend) {
            const Activation du(backend, u), dz(backend, z);
            const Device ddt(backend, dt), db(backend, b), dc(backend, c), dd(backend, d), dbias(backend, dt_bias),
                ds(backend, state), da(backend, a);
            const Rows ru = du.rows(s.width);
            const Block block = s.block(ds.data, state_floats);
            backend.run_block(block, [&](int) {
              backend.selective_scan({da.data, dd.data, dbias.data, d_state}, d_inner, ru, {ddt.data, s.width}, {db.data, n_pad},
                                     {dc.data, n_pad}, dz.rows(s.width), block, 0, ru);
            });
            Floats out = du.host();
            const Floats after = ds.host();
            out.insert(out.end(), after.begin(), after.end());
            return out;
          },
          [=] {
            Doubles out(u.size()), h(state.begin(), state.end());
            for (int q = 0, t = 0; q < 2; ++q)
              for (const int end = t + s.rows[q]; t < end; ++t)
                for (int i = 0; i < s.width; ++i) {
                  const size_t at = size_t(t) * s.width + i;
                  const double delta = softplus(double(dt[at]) + dt_bias[i]);
                  double y = 0;
                  for (int n = 0; n < d_state; ++n) {
                    const size_t in_state = state_index(i, n, d_state);
                    double& cell = h[q * state_floats + in_state];
                    cell = std::exp2(delta * a[in_state]) * cell + delta * u[at] * b[size_t(t) * n_pad + n];
                    y += cell * c[size_t(t) * n_pad + n];
                  }
                  out[at] = (y + double(d[i]) * u[at]) * z[at] * sigmoid(z[at]);
                }
            out.insert(out.end(), h.begin(), h.end());
            return out;
          },
          2e-5 * d_state, Activations::f32, 0.02, 0.006};
}

inline const char* block_name(bool decode) { return decode ? " decode" : " reading"; }

/** `count` sequences with a token each, in a block of that kind, and states that are not zero. */
inline Block single_tokens(int count, float* states, size_t floats, bool decode) {
  Block block{decode, std::vector<int32_t>(count), {}};
  for (int i = 0; i < count; ++i) block.spans.push_back({i, 1, states + i * floats});
  return block;
}

/** Rows of a decode block that `count` fit in; those beyond are sequences too, whose results nobody looks at. */
inline int filled_up(int count) {
  int rows = 1;
  while (rows < count) rows *= 2;
  return rows;
}

/** `rows` of `all` (filled_up, ld) without padding and the rows beyond. */
inline void append_rows(Floats& out, const Floats& all, int rows, int ld, int first, int width) {
  for (int r = 0; r < rows; ++r) out.insert(out.end(), &all[size_t(r) * ld + first], &all[size_t(r) * ld + first] + width);
}

inline Case in_proj_conv_case(int count, int d_model, int d_inner, int d_conv, Dtype dtype, bool decode) {
  const int width = padded(d_inner), rows = filled_up(count), history = d_conv - 1;
  const size_t state_floats = size_t(history) * width + 16;
  Floats x = padded_rows(random_floats(size_t(rows) * d_model, 31), rows, d_model);
  for (float& v : x) v = math::from_bf16(math::to_bf16(v));
  const Weight w = random_weight(dtype, 2 * d_inner, d_model, 64, 32);
  Floats bias = random_floats(2 * width, 33);
  for (int i = d_inner; i < width; ++i) bias[i] = bias[width + i] = 0.0f;
  const Floats taps = padded_rows(random_floats(size_t(d_conv) * d_inner, 34), d_conv, d_inner);
  const Floats conv_bias = padded_rows(random_floats(d_inner, 35), 1, d_inner), state = random_floats(state_floats * rows, 36);
  return {"in_proj_conv " + std::to_string(count) + "x" + std::to_string(d_model) + "x" + std::to_string(d_inner) + " taps " +
              std::to_string(d_conv) + " " + name_of(dtype) + block_name(decode),
          [=](Backend& backend) {
            const auto matrix = backend.pack(w.host(), {d_inner, d_inner});
            const Activation dx(backend, x), dxz(backend, Floats(size_t(rows) * 2 * width)), du(backend, Floats(size_t(rows) * width));
            const Device db(backend, bias), dw(backend, taps), dcb(backend, conv_bias), ds(backend, state);
            const Block block = single_tokens(rows, ds.data, state_floats, decode);
            backend.run_block(block, [&](int n) {
              backend.in_proj_conv(*matrix, db.data, dx.rows(padded(d_model)), n, {dw.data, dcb.data, d_conv}, d_inner, block, 0,
                                   dxz.rows(2 * width), du.rows(width));
            });
            Floats out;
            append_rows(out, dxz.host(), count, 2 * width, width, width);
            append_rows(out, du.host(), count, width, 0, width);
            const Floats after = ds.host();
            out.insert(out.end(), after.begin(), after.begin() + long(count * state_floats));
            return out;
          },
          [=] {
            Doubles z, u, after(state.begin(), state.begin() + long(count * state_floats));
            for (int r = 0; r < count; ++r)
              for (int i = 0; i < 2 * width; ++i) {
                double sum = bias[i];
                const int weight_row = i < width ? i : d_inner + i - width;
                for (int k = 0; i % width < d_inner && k < d_model; ++k)
                  sum += double(x[size_t(r) * padded(d_model) + k]) * w.values[size_t(weight_row) * d_model + k];
                if (i >= width) {
                  z.push_back(sum);
                  continue;
                }
                double* const column = &after[r * state_floats + i];
                double c = conv_bias[i] + taps[size_t(history) * width + i] * sum;
                for (int k = 0; k < history; ++k) {
                  c += taps[size_t(k) * width + i] * column[size_t(k) * width];
                  column[size_t(k) * width] = k + 1 < history ? column[size_t(k + 1) * width] : sum;
                }
                u.push_back(c * sigmoid(c));
              }
            z.insert(z.end(), u.begin(), u.end());
            z.insert(z.end(), after.begin(), after.end());
            return z;
          },
          1e-5 * (d_model + 4), Activations::f32, 0.05, 0.02};
}

inline Case dt_proj_scan_case(int count, int dt_rank, int d_inner, int d_state, Dtype dtype, bool norms, bool decode) {
  const int width = padded(d_inner), rows = filled_up(count), n_pad = padded(d_state), ld = padded(dt_rank) + 2 * n_pad;
  const size_t state_floats = size_t(d_state) * width;
  const Weight w = random_weight(dtype, d_inner, dt_rank, 64, 41);
  Floats parts(size_t(rows) * ld);
  const Floats values = random_floats(parts.size(), 42, 2.0f);
  const auto inside = [=](int at) {
    return at < padded(dt_rank) ? at < dt_rank : (at - padded(dt_rank)) % n_pad < d_state;
  };
  for (size_t i = 0; i < parts.size(); ++i) parts[i] = inside(int(i % ld)) ? math::from_bf16(math::to_bf16(values[i])) : 0.0f;
  const auto activations = [=](uint32_t seed) {
    Floats out = padded_rows(random_floats(size_t(rows) * d_inner, seed, 2.0f), rows, d_inner);
    for (float& v : out) v = math::from_bf16(math::to_bf16(v));
    return out;
  };
  const Floats u = activations(43), z = activations(44), state = random_floats(state_floats * rows, 45);
  const Floats d = padded_rows(random_floats(d_inner, 46), 1, d_inner), dt_bias = padded_rows(random_floats(d_inner, 47), 1, d_inner);
  Floats a = random_floats(state_floats, 48);
  for (float& value : a) value = -2.0f * std::fabs(value);
  constexpr float kEps = 1e-5f;
  // Rounded: dt as it enters dt_proj, the codes of 4-bit weights, and fp32 weights.
  const auto to_bf16 = [](double x) { return math::from_bf16(math::to_bf16(float(x))); };
  Weight coded = w;
  for (float& code : coded.code) code = to_bf16(code);
  const auto rounded_weight = [=](int row, int k) -> double {
    if (dtype == Dtype::code4) return math::element(coded.host(), row, k);
    return to_bf16(w.values[size_t(row) * dt_rank + k]);
  };
  const auto reference = [=](bool rounded) {
    const bool exact = !rounded || dtype == Dtype::int8 || dtype == Dtype::fp8;
    Doubles out, h(state.begin(), state.begin() + long(count * state_floats));
    for (int r = 0; r < count; ++r) {
      const float* const row = &parts[size_t(r) * ld];
      const auto normed = [&](int first, int n) {
        Doubles v(row + first, row + first + n);
        double squares = 0;
        for (const double x : v) squares += x * x;
        for (double& x : v) x /= norms ? std::sqrt(squares / n + kEps) : 1.0;
        return v;
      };
      Doubles dt = normed(0, dt_rank);
      const Doubles b = normed(padded(dt_rank), d_state), c = normed(padded(dt_rank) + n_pad, d_state);
      if (rounded)
        for (double& x : dt) x = to_bf16(x);
      for (int i = 0; i < width; ++i) {
        double delta = dt_bias[i], y = 0;
        for (int k = 0; i < d_inner && k < dt_rank; ++k)
          delta += dt[k] * (exact ? w.values[size_t(i) * dt_rank + k] : rounded_weight(i, k));
        delta = softplus(delta);
        const size_t at = size_t(r) * width + i;
        for (int n = 0; n < d_state; ++n) {
          const size_t in_state = state_index(i, n, d_state);
          double& cell = h[r * state_floats + in_state];
          cell = std::exp2(delta * a[in_state]) * cell + delta * u[at] * b[n];
          y += cell * c[n];
        }
        out.push_back((y + double(d[i]) * u[at]) * z[at] * sigmoid(z[at]));
      }
    }
    out.insert(out.end(), h.begin(), h.end());
    return out;
  };
  return {"dt_proj_scan " + std::to_string(count) + "x" + std::to_string(dt_rank) + "x" + std::to_string(d_inner) + " states " +
              std::to_string(d_state) + " " + name_of(dtype) + (norms ? " norms" : "") + block_name(decode),
          [=](Backend& backend) {
            const auto matrix = backend.pack(w.host(), {d_inner});
            const Activation du(backend, u), dz(backend, z), dt_in(backend, Floats(size_t(rows) * padded(dt_rank)));
            const Device dp(backend, parts), ddelta(backend, Floats(size_t(rows) * width)), dd(backend, d), dbias(backend, dt_bias),
                ds(backend, state), da(backend, a);
            const Block block = single_tokens(rows, ds.data, state_floats, decode);
            backend.run_block(block, [&](int n) {
              // Where nothing changes dt, it is read as it is.
              const bool copied = norms || backend.activation_element() != Element::f32;
              const DtBC p{{dp.data, ld}, {dp.data + padded(dt_rank), ld}, {dp.data + padded(dt_rank) + n_pad, ld}, dt_rank, d_state,
                           norms, kEps, copied ? dt_in.rows(padded(dt_rank)) : Rows{dp.data, ld}};
              backend.dt_proj_scan(p, *matrix, {ddelta.data, width}, n, {da.data, dd.data, dbias.data, d_state}, d_inner,
                                   du.rows(width), dz.rows(width), block, 0, du.rows(width));
            });
            Floats out;
            append_rows(out, du.host(), count, width, 0, width);
            const Floats after = ds.host();
            out.insert(out.end(), after.begin(), after.begin() + long(count * state_floats));
            return out;
          },
          [=] { return reference(false); },
          1e-5 * (dt_rank + 2 * d_state), Activations::f32, 0.02, 0.006, [=] { return reference(true); }};
}

/** kMaxTop alternatives of every row. */
struct Scores {
  std::vector<int32_t> ids;
  Floats logprobs;
  std::vector<ScoredRow> wanted;
  Scores(int rows, int vocab) : ids(size_t(rows) * kMaxTop, -1), logprobs(ids.size(), 1.0f), wanted(rows) {
    for (int r = 0; r < rows; ++r) {
      wanted[r].top = std::min(kMaxTop, vocab);
      wanted[r].top_ids = &ids[size_t(r) * kMaxTop];
      wanted[r].top_logprobs = &logprobs[size_t(r) * kMaxTop];
    }
  }
};

inline Case log_probs_case(int rows, int vocab) {
  Floats z = padded_rows(random_floats(size_t(rows) * vocab, 20, 12.0f), rows, vocab);
  for (size_t i = 0; i < z.size() / 2; ++i) z[i] = std::round(z[i]);  // equals, among which the lowest id goes first
  std::vector<int32_t> targets;
  for (int r = 0; r < rows; ++r) targets.push_back(r % 5 == 4 ? -1 : (r * 7919) % vocab);
  return {"log_probs " + std::to_string(rows) + "x" + std::to_string(vocab),
          [=](Backend& backend) {
            const Device dz(backend, z);
            Floats out(rows, 1.0f);
            Scores top(rows, vocab);
            for (int r = 0; r < rows; ++r) top.wanted[r].target = targets[r], top.wanted[r].logprob = &out[r];
            backend.log_probs({dz.data, padded(vocab)}, vocab, top.wanted.data(), rows);
            out.insert(out.end(), top.ids.begin(), top.ids.end());
            out.insert(out.end(), top.logprobs.begin(), top.logprobs.end());
            return out;
          },
          [=] {
            Doubles out, ids, logprobs;
            for (int r = 0; r < rows; ++r) {
              const float* const row = &z[size_t(r) * padded(vocab)];
              double sum = 0;
              for (int v = 0; v < vocab; ++v) sum += std::exp(double(row[v]));
              out.push_back(targets[r] < 0 ? 1.0 : row[targets[r]] - std::log(sum));
              std::vector<int> order(vocab);
              for (int v = 0; v < vocab; ++v) order[v] = v;
              std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return row[a] > row[b]; });
              for (int i = 0; i < kMaxTop; ++i) {
                const bool filled = targets[r] >= 0 && i < vocab;
                ids.push_back(filled ? order[i] : -1);
                logprobs.push_back(filled ? row[order[i]] - std::log(sum) : 1.0);
              }
            }
            out.insert(out.end(), ids.begin(), ids.end());
            out.insert(out.end(), logprobs.begin(), logprobs.end());
            return out;
          },
          6e-6};
}

inline std::vector<Case> cases() {
  std::vector<Case> all;
  for (const Dtype dtype : {Dtype::f32, Dtype::f16, Dtype::bf16, Dtype::int8, Dtype::code4, Dtype::fp8})
    for (const Activations activations : {Activations::f32, Activations::matched}) {
      for (int rows = 1; rows <= 13; ++rows)
        all.push_back(linear_case({rows, 37, 150, rows % 2 == 1, rows % 3 == 0}, dtype, activations));
      for (const int rows : {1, 7, 100})
        for (const int n_out : {5, 16, 48, 130, 512})
          all.push_back(linear_case({rows, 192, n_out, true, n_out > 100}, dtype, activations));
      all.push_back(linear_case({25, 2080, 40, false, true}, dtype, activations));
    }
  for (const Dtype dtype : {Dtype::bf16, Dtype::int8, Dtype::code4, Dtype::fp8})
    for (const int rows : {2, 100})
      for (const bool accumulate : {false, true})
        all.push_back(linear_case({rows, 192, 130, true, accumulate, true}, dtype, Activations::matched));
  // Blocks that run over row ends, that are longer than a group, that are shorter than a word.
  for (const auto& [n_in, block_size] : {std::pair{48, 64}, {24, 64}, {512, 256}, {4096, 4096}, {96, 32}, {20, 64}, {37, 32}})
    for (const Activations activations : {Activations::f32, Activations::matched})
      for (const int rows : {1, 5, 30}) all.push_back(linear_case({rows, n_in, 50, false, false}, Dtype::code4, activations, block_size));
  for (const int width : {1, 5, 16, 17, 64, 80, 300}) all.push_back(norm_case(33, width, width % 2, 1e-5f));
  for (const int taps : {1, 2, 3, 4, 7})
    for (const int rows : {1, 2, 5, 40}) all.push_back(conv_case(rows, 3, rows + 70, taps));
  for (const int states : {1, 5, 8, 16, 20})
    for (const int rows : {1, 3, 50}) all.push_back(scan_case(rows, 2, rows + 70, states));
  int count = 0;
  for (const auto& [dtype, decode] :
       {std::pair{Dtype::bf16, true}, {Dtype::int8, true}, {Dtype::code4, true}, {Dtype::fp8, true}, {Dtype::bf16, false}, {Dtype::f32, true}}) {
    for (const auto& [d_model, d_inner, taps] : {std::tuple{64, 48, 4}, {192, 90, 2}, {64, 1030, 7}, {64, 20, 1}})
      all.push_back(in_proj_conv_case(count = count * 5 % 23 + 1, d_model, d_inner, taps, dtype, decode));
    for (const auto& [dt_rank, d_inner, d_state, norms] :
         {std::tuple{64, 48, 16, true}, {256, 90, 5, true}, {128, 33, 20, false}, {7, 200, 8, true}, {512, 16, 40, false}})
      all.push_back(dt_proj_scan_case(count = count * 5 % 23 + 1, dt_rank, d_inner, d_state, dtype, norms, decode));
  }
  for (const int vocab : {1, 16, 17, 97, 1500}) all.push_back(log_probs_case(23, vocab));
  return all;
}

}  // namespace longhaul::op_cases
