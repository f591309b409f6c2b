// What the engine asks of a device: buffers, packed matrices and about a dozen ops.
//
// Conventions. Activations are row-major, one token a row, fp32 unless their `element` says otherwise. Every row and every
// section of a row is padded with zeros to a multiple of `kAlign` elements, so no kernel has a tail. Pointers are the
// backend's own memory unless a parameter says `host`. Shapes are checked at load, not per call. Calls run in order;
// `download` waits for them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace longhaul {

/** Row padding in floats: one 64-byte line, sixteen lanes. */
constexpr int kAlign = 16;
constexpr int padded(int n) { return (n + kAlign - 1) / kAlign * kAlign; }

/**
 * Where (channel i, state n) lies in A and in ssm_state: (d_inner / kAlign, d_state, kAlign). The states of sixteen
 * neighbouring channels are one dense run, so that a decode step streams through memory.
 */
constexpr size_t state_index(int i, int n, int d_state) {
  return (size_t(i / kAlign) * d_state + n) * kAlign + i % kAlign;
}

enum class Dtype { f32, f16, bf16, int8, code4, fp8 };

/**
 * A weight in host memory as stored: (rows, cols), row-major.
 *
 *   int8    W[r, c] = data[r, c] scales[r]                       scales (rows): bitsandbytes' SCB / 127
 *   fp8     W[r, c] = e4m3(data[r, c]) scales[r]                 scales (rows)
 *   code4   W[r, c] = code[nibble f] scales[f / block_size]      f = r cols + c; element 2j is the high nibble of byte j
 */
struct HostMatrix {
  const void* data;
  Dtype dtype;
  int rows, cols;
  const float* scales = nullptr;
  const float* code = nullptr;  // (16)
  int block_size = 0;
};

/**
 * How activations enter matrix products: as fp32, or rounded to what the weights are worth: bf16 for bf16 weights, int8
 * in groups along k, each with its own scale, for int8 and code4 weights, fp32 for the others. A GPU has bf16 for all, and
 * where a sequence is read by fp8 weights e4m3 with a scale a row.
 */
enum class Activations { f32, matched };

/** A weight packed for `linear`: y[n] = sum_k W[n, k] x[k]. */
class Matrix {
 public:
  virtual ~Matrix() = default;
  int n_in = 0;   // columns of the weight
  int n_out = 0;  // rows of the weight, each section padded
};

/** The tokens of one sequence inside a block of rows, and that sequence's state. */
struct Span {
  int row;       // its first row
  int rows;      // how many, >= 1
  float* state;  // its slot; each layer's part is at a fixed offset
};

/** How activations are stored. */
enum class Element { f32, bf16 };

/** (rows, ld) activations, or a window of columns of them. */
struct Rows {
  float* data;  // or bf16, by `element`
  int ld;       // elements from one row to the next
  Element element = Element::f32;
};

/**
 * Rows that pass through the layers together: `tokens` of one or more sequences. A decode block has one token of each; a
 * backend may use other kernels for it, so that what a token was read in is part of what its bits depend on.
 */
struct Block {
  bool decode = false;
  std::vector<int32_t> tokens;
  std::vector<Span> spans;  // in the order of their rows
};

struct ConvWeights {
  const float* weight;  // (d_conv, d_inner): tap-major, the last tap meets the current token
  const float* bias;    // (d_inner), zeros where the model has none
  int d_conv;
};

struct ScanWeights {
  const float* a_log2e;  // by state_index: -exp(A_log) log2(e)
  const float* d;        // (d_inner)
  const float* dt_bias;  // (d_inner)
  int d_state;
};

/** The row that x_proj makes, dt | B | C, and how it is normalized before use. */
struct DtBC {
  Rows dt, b, c;  // windows of the same fp32 rows
  int dt_rank, d_state;
  bool norms;  // each of the three is divided by sqrt(mean of its squares + eps)
  float eps;
  Rows dt_in;  // what dt_proj reads: `dt` itself, or memory for a copy
};

constexpr int kMaxTop = 20;

/** Log-probabilities wanted of one row of logits. */
struct ScoredRow {
  int32_t target = -1;  // nothing is written where it is -1
  float* logprob = nullptr;
  // The `top` most likely ids, at most kMaxTop, descending, the lowest id first among equals; less where the vocabulary
  // or its numbers are fewer. The target's own entry is the same number as `logprob`.
  int top = 0;
  int32_t* top_ids = nullptr;
  float* top_logprobs = nullptr;
};

/** What is added to one logit before a draw, and whether the repetition penalty meets it then. */
struct LogitEdit {
  int32_t id;
  float bias;
  int32_t penalized;
};

constexpr int kMostShort = 256;

/** A row of logits cut down to what a draw needs (engine/sampler.h): all numbers are of the edited row. */
struct Shortlist {
  int row;
  float temperature;  // 0: the best id alone
  float penalty;
  std::vector<LogitEdit> edits;  // no id twice
  int wanted;                    // candidates, 1 ... kMostShort

  // Found. z = (logit - the largest) / temperature.
  bool finite;           // no NaN, and a finite largest
  int32_t best;          // the lowest id among the largest
  uint64_t total;        // sum of math::fixed_weight(e^z)
  std::vector<int32_t> ids;  // all ids whose z is at least the least of `z`, in any order; none where they are too many
  std::vector<float> z;
};

/** A point in the order of a backend's calls. */
class Mark {
 public:
  virtual ~Mark() = default;
  /** It is now; on the thread that makes the calls. */
  virtual void set() = 0;
  /** Any thread: returns when all that was given before the last `set` is done; at once where there was none. */
  virtual void wait() = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string device() const = 0;
  virtual std::string isa() const = 0;
  virtual int threads() const = 0;
  /** What is missing for full speed, or "". */
  virtual std::string note() const { return ""; }
  /** Names what makes large products, where more than the device's type decides their bits; "" elsewhere. Known after warm_up. */
  virtual std::string products() const { return ""; }
  /** What projections read, and what is best stored between them; the residual stream, B, C and logits are fp32. */
  virtual Element activation_element() const { return Element::f32; }
  /** Most rows of a block, and of a decode block; most logits held at once, in floats. */
  virtual int block_rows() const = 0;
  virtual int decode_rows() const { return block_rows(); }
  virtual size_t head_floats() const = 0;
  /** Whether one-token sequences come in blocks of their own. */
  virtual bool decodes_apart() const { return false; }
  /** Of the device's memory; no limit that is known where it is the host's. */
  virtual size_t free_bytes() const { return SIZE_MAX; }
  /** What `pack` takes for a weight of this format. */
  virtual size_t matrix_bytes(Dtype dtype, int rows, int cols) const = 0;
  /** What the backend itself takes besides; and for products with such a weight, all weights sharing the most of it. */
  virtual size_t workspace_bytes() const { return 0; }
  virtual size_t scratch_bytes(Dtype dtype, int rows, int cols) const {
    return static_cast<void>(dtype), static_cast<void>(rows), static_cast<void>(cols), 0;
  }
  /** States that are allocated together, and whether more may be allocated when these are in use. */
  virtual int slab_slots(size_t slot_floats) const = 0;
  virtual bool adds_slabs() const { return true; }
  /** Memory taken of the device, and of what it can copy from by itself, so far: how often. */
  virtual size_t allocations() const { return 0; }

  /** Zero-filled; throws std::bad_alloc. */
  virtual float* allocate(size_t floats) = 0;
  virtual void release(float* buffer) = 0;
  virtual void zero(float* buffer, size_t floats) = 0;
  virtual void copy(float* to, const float* from, size_t floats) = 0;
  virtual void upload(float* to, const float* host_from, size_t floats) = 0;
  virtual void download(float* host_to, const float* from, size_t floats) = 0;
  /**
   * Whether states can travel beside the calls, which are then not done when they return: a mark tells. Each of the two may
   * be called from one thread of its own, and returns when it is done.
   */
  virtual bool transfers_beside() const { return false; }
  virtual std::unique_ptr<Mark> create_mark() { return nullptr; }
  virtual void download_beside(float* host_to, const float* from, size_t floats) { download(host_to, from, floats); }
  virtual void upload_beside(float* to, const float* host_from, size_t floats) { upload(to, host_from, floats); }

  /** Packs a weight; its rows come in sections (in_proj: x, z), each padded to kAlign rows of zeros. */
  virtual std::unique_ptr<Matrix> pack(const HostMatrix& host, const std::vector<int>& sections) = 0;

  /** (vocab, width), kept as stored. */
  virtual std::unique_ptr<Matrix> pack_table(const HostMatrix& host) = 0;

  /**
   * Calls ops(rows), which runs the ops of all layers on `block`; rows >= its tokens, those beyond them are idle. May
   * instead repeat what it recorded of the same call for as many rows, so in a decode block what `ops` does depends on
   * `rows` alone. The work of a decode block may still be under way when it returns.
   */
  virtual void run_block(const Block& block, const std::function<void(int rows)>& ops) = 0;
  /** Returns when all work is done. */
  virtual void finish() {}
  /**
   * Once, when the model is loaded: makes all that `run_block` will need, so that nothing is allocated later. `ops` runs a
   * block as there; activations and `idle_state`, a state that idle rows may share, hold anything afterwards.
   */
  virtual void warm_up(float* idle_state, const std::function<void(const Block& block, int rows)>& ops) {
    static_cast<void>(idle_state), static_cast<void>(ops);
  }

  /** out[i] = table[block.tokens[i]] */
  virtual void embed(const Matrix& table, const Block& block, int rows, Rows out) = 0;

  /** out = weight * x / sqrt(mean(x^2) + eps) over `width` columns; weight may be null (ones). In place allowed. */
  virtual void rms_norm(Rows x, const float* weight, int width, float eps, int rows, Rows out) = 0;

  /** out = x in another element. */
  virtual void convert(Rows x, int width, int rows, Rows out) = 0;

  /** logits = W x for rows of the last block, which had one token of each sequence where `decode` says so. */
  virtual void lm_head(const Matrix& w, Rows x, int rows, bool decode, Rows logits) {
    static_cast<void>(decode);
    linear(w, nullptr, x, rows, logits, false);
  }

  /** out = W x + bias, or out += W x + bias where `accumulate`; bias may be null. */
  virtual void linear(const Matrix& w, const float* bias, Rows x, int rows, Rows out, bool accumulate) = 0;

  /** u = silu(causal depthwise convolution of x), continuing from and updating each span's conv state. */
  virtual void causal_conv1d(const ConvWeights& w, int d_inner, Rows x, const Block& block, size_t state_offset,
                             Rows u) = 0;

  /** y = (scan(softplus(dt + dt_bias), B, C, u) + D u) silu(z), updating each span's ssm state. y may be u. */
  virtual void selective_scan(const ScanWeights& w, int d_inner, Rows u, Rows dt, Rows b, Rows c, Rows z,
                              const Block& block, size_t state_offset, Rows y) = 0;

  // Runs of the ops above. A backend may do one at once; what lies between its ops is then undefined.

  /** xz = W normed + bias; u = causal_conv1d(x). */
  virtual void in_proj_conv(const Matrix& w, const float* bias, Rows normed, int rows, const ConvWeights& conv, int d_inner,
                            const Block& block, size_t state_offset, Rows xz, Rows u);
  /** dt, B and C normalized, dt into p.dt_in. */
  virtual void mixer_norms(const DtBC& p, int rows);
  /** mixer_norms, delta = W dt_in, selective_scan. */
  virtual void dt_proj_scan(const DtBC& p, const Matrix& w, Rows delta, int rows, const ScanWeights& scan, int d_inner, Rows u,
                            Rows z, const Block& block, size_t state_offset, Rows y);

  /** out[i] = x[host_rows[i]], `width` floats each. */
  virtual void gather(Rows x, const int* host_rows, int rows, int width, Rows out) = 0;

  /** Fills in what is found of the rows that `wanted` names. False, nothing done, where whole rows are as near as that. */
  virtual bool shortlist(Rows logits, int vocab, std::vector<Shortlist>& wanted);

  /** Fills in, for each row, log softmax(logits[i, 0:vocab]) of what `host_scored[i]` asks for. */
  virtual void log_probs(Rows logits, int vocab, const ScoredRow* host_scored, int rows) = 0;
};

inline void Backend::in_proj_conv(const Matrix& w, const float* bias, Rows normed, int rows, const ConvWeights& conv, int d_inner,
                                  const Block& block, size_t state_offset, Rows xz, Rows u) {
  linear(w, bias, normed, rows, xz, false);
  causal_conv1d(conv, d_inner, xz, block, state_offset, u);
}

inline void Backend::mixer_norms(const DtBC& p, int rows) {
  if (p.norms) {
    rms_norm(p.dt, nullptr, p.dt_rank, p.eps, rows, p.dt_in);
    rms_norm(p.b, nullptr, p.d_state, p.eps, rows, p.b);
    rms_norm(p.c, nullptr, p.d_state, p.eps, rows, p.c);
  } else if (p.dt_in.data != p.dt.data) {
    convert(p.dt, padded(p.dt_rank), rows, p.dt_in);
  }
}

inline void Backend::dt_proj_scan(const DtBC& p, const Matrix& w, Rows delta, int rows, const ScanWeights& scan, int d_inner,
                                  Rows u, Rows z, const Block& block, size_t state_offset, Rows y) {
  mixer_norms(p, rows);
  linear(w, nullptr, p.dt_in, rows, delta, false);
  selective_scan(scan, d_inner, u, delta, p.b, p.c, z, block, state_offset, y);
}

inline bool Backend::shortlist(Rows, int, std::vector<Shortlist>&) { return false; }

enum class Isa { automatic, portable, avx2, avx512, avx512vnni, avx512bf16 };

/** Throws std::invalid_argument when this processor lacks `isa`. */
std::unique_ptr<Backend> create_cpu_backend(int threads, Isa isa, Activations activations);

struct CudaOptions {
  int device = 0;
  Activations activations = Activations::matched;
  int block_rows = 2048, decode_rows = 64;  // the latter a power of two
  int slots = 64;                           // states
  bool cublaslt = true;                     // false: the engine's own kernel makes large products, with the same bits on every device of one capability
  bool overlap = true;                      // kernels of decode begin before the one before them has ended, where the device can
};

/** Throws std::invalid_argument where the build has no CUDA or the machine no such device, and says why. */
std::unique_ptr<Backend> create_cuda_backend(const CudaOptions& options);
/** The first device, or why there is none. */
std::string probe_cuda();

struct CpuProbe {
  std::string isa, model;  // best instruction set; the processor's name or ""
  std::vector<std::string> features;
};
CpuProbe probe_cpu();

}  // namespace longhaul
