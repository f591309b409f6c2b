#include "backend/cuda/gemm.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <tuple>
#include <vector>

#include "backend/cuda/cublaslt.h"

namespace longhaul::cuda {
namespace {

/** A call that cuBLASLt refused. */
class LibraryError : public DeviceError {
 public:
  using DeviceError::DeviceError;
};

void check_lt(int status, const char* what) {
  if (status != 0) throw LibraryError(std::string(what) + ": cuBLASLt status " + std::to_string(status));
}

constexpr uint32_t kLeastAlignment = kAlign;  // bytes: sixteen elements of one

/** How a product is asked for: e4m3 with the library's own scales, or without any. */
enum class Kind { bf16, fp8_scaled, fp8_plain };

struct Product {
  Kind kind;
  const WeightView& w;
  Typed x, y;  // x.bf16 is not looked at
  int rows;
  bool accumulate;
  const float* x_scales = nullptr;
  int x_bytes() const { return kind == Kind::bf16 ? 2 : 1; }
};

/** Row-major y (rows, n_out) = x (rows, n_in) W^T is column-major y^T = W^T^T x^T: A = W with op T, B = x, C = D = y. */
class LtGemm : public Gemm {
 public:
  LtGemm(const lt::Library& library, bool has_fp8, int most_rows, Uploader& uploader)
      : lt_(library),
        has_fp8_(has_fp8),
        most_rows_(most_rows),
        uploader_(uploader),
        workspace_(allocate_device(kGemmWorkspaceBytes)) {
    check_lt(lt_.create(&handle_), "cublasLtCreate");
    for (lt::MatmulDesc* desc : {&plain_, &scaled_}) {
      check_lt(lt_.desc_create(desc, lt::kCompute32F, lt::kF32), "cublasLtMatmulDescCreate");
      set(*desc, lt::kDescTransA, lt::kTranspose);
    }
    // An older library does not know the mode: fp8 then goes without scales.
    scales_ = has_fp8 && lt_.desc_set(scaled_, lt::kDescScaleModeA, &lt::kScaleOuterVector, sizeof lt::kScaleOuterVector) == 0 &&
              lt_.desc_set(scaled_, lt::kDescScaleModeB, &lt::kScaleOuterVector, sizeof lt::kScaleOuterVector) == 0;
  }
  ~LtGemm() override {
    lt_.desc_destroy(plain_);
    lt_.desc_destroy(scaled_);
    lt_.destroy(handle_);
  }

  std::string identity() const override {
    uint32_t digest = 0x811c9dc5;  // FNV-1a
    const auto add = [&](uint32_t word) {
      for (int i = 0; i < 4; ++i) digest = (digest ^ (word >> 8 * i & 255)) * 0x01000193;
    };
    for (const auto& [key, plan] : plans_) {
      std::apply([&](auto... part) { (add(uint32_t(part)), ...); }, key);
      add(plan.usable);
      for (const int attribute : lt::kConfigOfSums) {
        if (plan.usable) add(config_of(plan.algo, attribute));
      }
    }
    char text[48];
    std::snprintf(text, sizeof text, "cublaslt-%zu-%08x", lt_.version(), digest);
    return text;
  }

  bool run(Stream& stream, const LinearArgs& args) override {
    return run_planned(stream, {Kind::bf16, args.w, args.x, args.y, args.rows, args.accumulate});
  }

  bool has_fp8() const override { return has_fp8_; }
  bool run_fp8(Stream& stream, const Fp8Args& args) override {
    const Typed x{const_cast<uint8_t*>(args.x), args.w.n_in, false};
    if (scales_ && run_planned(stream, {Kind::fp8_scaled, args.w, x, args.y, args.rows, args.accumulate, args.x_scales})) return true;
    if (!run_planned(stream, {Kind::fp8_plain, args.w, x, {args.product, args.w.n_out, false}, args.rows, false})) return false;
    scale_product(stream, {args.product, args.x_scales, args.w.scales, args.w.n_out, args.y, args.accumulate}, args.rows);
    return true;
  }

  std::vector<Candidate> candidates(Stream& stream, const LinearArgs& args) override {
    return try_all(stream, {Kind::bf16, args.w, args.x, args.y, args.rows, args.accumulate});
  }
  std::vector<Candidate> candidates_fp8(Stream& stream, const Fp8Args& args) override {
    const Typed x{const_cast<uint8_t*>(args.x), args.w.n_in, false};
    std::vector<Candidate> scaled;
    if (scales_) scaled = try_all(stream, {Kind::fp8_scaled, args.w, x, args.y, args.rows, args.accumulate, args.x_scales});
    if (!scaled.empty()) return scaled;
    return try_all(stream, {Kind::fp8_plain, args.w, x, {args.product, args.w.n_out, false}, args.rows, false});
  }

 private:
  static constexpr int kMostCandidates = 16;
  using Key = std::tuple<Kind, int, int, bool, bool, int, int>;
  struct Plan {
    bool usable = false;
    lt::Algo algo;
  };
  /** The layouts of one call. */
  struct Layouts {
    const lt::Library& lt;
    lt::Layout a = nullptr, b = nullptr, c = nullptr;
    Layouts(const lt::Library& lt, const Product& p, int rows) : lt(lt) {
      const int type = p.kind == Kind::bf16 ? lt::kBf16 : lt::kE4m3;
      check_lt(lt.layout_create(&a, type, p.w.n_in, p.w.n_out, p.w.n_in), "cublasLtMatrixLayoutCreate");
      check_lt(lt.layout_create(&b, type, p.w.n_in, rows, p.x.ld), "cublasLtMatrixLayoutCreate");
      check_lt(lt.layout_create(&c, p.y.bf16 ? lt::kBf16 : lt::kF32, p.w.n_out, rows, p.y.ld), "cublasLtMatrixLayoutCreate");
    }
    ~Layouts() {
      for (lt::Layout layout : {a, b, c})
        if (layout) lt.layout_destroy(layout);
    }
  };

  template <class T>
  void set(lt::MatmulDesc desc, int attribute, const T& value) {
    check_lt(lt_.desc_set(desc, attribute, &value, sizeof value), "cublasLtMatmulDescSetAttribute");
  }

  bool run_planned(Stream& stream, const Product& p) {
    const Key key{p.kind, p.w.n_in, p.w.n_out, p.y.bf16, p.accumulate, p.x.ld, p.y.ld};
    auto found = plans_.find(key);
    if (found == plans_.end()) found = plans_.emplace(key, choose(stream, p)).first;
    if (found->second.usable) multiply(stream, p, found->second.algo);
    return found->second.usable;
  }

  /** Of an algorithm; 0 where this version of the library does not know the attribute. Some have two bytes, most four. */
  uint32_t config_of(const lt::Algo& algo, int attribute) const {
    uint64_t value = 0;
    size_t bytes = 0;
    if (lt_.config_get(&algo, attribute, nullptr, 0, &bytes) != 0 || bytes > sizeof value) return 0;
    return lt_.config_get(&algo, attribute, &value, bytes, &bytes) == 0 ? uint32_t(value) : 0;
  }

  lt::MatmulDesc desc_of(const Product& p) const { return p.kind == Kind::fp8_scaled ? scaled_ : plain_; }

  void multiply(Stream& stream, const Product& p, const lt::Algo& algo) {
    const Layouts layouts(lt_, p, p.rows);
    const float alpha = 1.0f, beta = p.accumulate ? 1.0f : 0.0f;
    point_at_scales(p);
    check_lt(lt_.matmul(handle_, desc_of(p), &alpha, p.w.data, layouts.a, p.x.data, layouts.b, &beta, p.y.data, layouts.c, p.y.data,
                        layouts.c, &algo, workspace_.get(), kGemmWorkspaceBytes, stream.handle()),
             "cublasLtMatmul");
  }

  void point_at_scales(const Product& p) {
    if (p.kind != Kind::fp8_scaled) return;
    set(scaled_, lt::kDescScaleA, p.w.scales);
    set(scaled_, lt::kDescScaleB, p.x_scales);
  }

  /** What the library proposes, best first, without those that split k. */
  std::vector<lt::Algo> proposed(const Product& p) {
    lt::HeuristicResult results[kMostCandidates];
    int count = 0;
    const Layouts layouts(lt_, p, most_rows_);
    lt::Preference preference;
    check_lt(lt_.preference_create(&preference), "cublasLtMatmulPreferenceCreate");
    lt_.preference_set(preference, lt::kPreferenceWorkspace, &kGemmWorkspaceBytes, sizeof kGemmWorkspaceBytes);
    lt_.preference_set(preference, lt::kPreferenceReduction, &lt::kReductionNone, sizeof lt::kReductionNone);
    // The library takes 256 bytes for granted; rows from any on, and windows of columns, lie on 16.
    for (int which = lt::kPreferenceAlignmentA; which <= lt::kPreferenceAlignmentD; ++which)
      lt_.preference_set(preference, which, &kLeastAlignment, sizeof kLeastAlignment);
    point_at_scales(p);
    if (lt_.heuristic(handle_, desc_of(p), layouts.a, layouts.b, layouts.c, layouts.c, preference, kMostCandidates, results, &count) != 0) count = 0;
    lt_.preference_destroy(preference);
    std::vector<lt::Algo> algos;
    for (int i = 0; i < count; ++i) {
      if (results[i].state != 0 || config_of(results[i].algo, lt::kConfigSplitK) > 1) continue;
      algos.push_back(results[i].algo);
    }
    return algos;
  }

  /** The first candidate whose rows have the same bits in a full call as in small ones. */
  Plan choose(Stream& stream, const Product& p) {
    for (const lt::Algo& algo : proposed(p))
      if (keeps_rows(stream, p, algo)) return {true, algo};
    return {};
  }

  /** Of one call with all rows. */
  float microseconds(Stream& stream, const Product& p, const lt::Algo& algo) {
    constexpr int kCalls = 4;
    std::vector<float> times;
    try {
      for (int i = 0; i < 6; ++i) {
        const float ms = time_on(stream, [&] {
          for (int call = 0; call < kCalls; ++call) multiply(stream, p, algo);
        });
        if (i > 0) times.push_back(1000 * ms / kCalls);
      }
    } catch (const LibraryError&) {
      return 0;
    }
    std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
    return times[times.size() / 2];
  }

  std::vector<Candidate> try_all(Stream& stream, const Product& p) {
    constexpr int kMostTries = 3;
    const std::vector<lt::Algo> algos = proposed(p);
    std::vector<Candidate> found;
    for (const lt::Algo& algo : algos) found.push_back({Candidate::Keeps::untried, microseconds(stream, p, algo), false});
    const auto keeps = [&](size_t i) { return keeps_rows(stream, p, algos[i]) ? Candidate::Keeps::yes : Candidate::Keeps::no; };
    size_t chosen = 0;
    for (; chosen < found.size(); ++chosen)
      if ((found[chosen].keeps = keeps(chosen)) == Candidate::Keeps::yes) break;
    if (chosen == found.size()) return found;
    found[chosen].chosen = true;
    int tries = 0;
    for (size_t i = chosen + 1; i < found.size() && tries < kMostTries; ++i) {
      if (found[i].microseconds == 0 || found[i].microseconds > 0.98f * found[chosen].microseconds) continue;
      found[i].keeps = keeps(i);
      ++tries;
    }
    return found;
  }

  /** x's values: within a factor of eight of one, either sign, full mantissas. */
  void fill_randomly(std::vector<uint8_t>& x, Kind kind) {
    uint32_t random = 2463534242u;
    const auto next = [&] {
      random ^= random << 13, random ^= random >> 17, random ^= random << 5;
      return random >> 8;
    };
    if (kind != Kind::bf16) {
      for (uint8_t& value : x) value = uint8_t((next() & 0x87) | (6 + next() % 3) << 3);
      return;
    }
    for (size_t i = 0; i + 1 < x.size(); i += 2) {
      const uint32_t value = (next() & 0x807f) | (126 + next() % 3) << 7;
      x[i] = uint8_t(value);
      x[i + 1] = uint8_t(value >> 8);
    }
  }

  bool keeps_rows(Stream& stream, const Product& like, const lt::Algo& algo) {
    const size_t x_row = size_t(like.x.ld) * like.x_bytes(), y_element = like.y.bf16 ? 2 : 4, y_row = size_t(like.y.ld) * y_element;
    // y may be a window of columns.
    const size_t y_width = like.w.n_out * y_element, y_bytes = (most_rows_ - 1) * y_row + y_width;
    std::vector<uint8_t> x(most_rows_ * x_row), full(y_bytes), part(y_bytes);
    fill_randomly(x, like.kind);
    stream.synchronize();
    uploader_.upload(like.x.data, x.data(), x.size());
    if (like.x_scales) {
      std::vector<float> ones(most_rows_, 1.0f);
      uploader_.upload(const_cast<float*>(like.x_scales), ones.data(), ones.size() * 4);
    }
    uploader_.finish();
    Product p = like;
    const auto call = [&](int first, int rows) {
      p.x.data = static_cast<char*>(like.x.data) + size_t(first) * x_row;
      p.y.data = static_cast<char*>(like.y.data) + size_t(first) * y_row;
      p.x_scales = like.x_scales ? like.x_scales + first : nullptr;
      p.rows = rows;
      multiply(stream, p, algo);
    };
    const auto fetch = [&](std::vector<uint8_t>& into) {
      stream.synchronize();
      uploader_.download(into.data(), like.y.data, y_bytes);
    };
    try {
      stream.zero(like.y.data, y_bytes);
      call(0, most_rows_);
      fetch(full);
      stream.zero(like.y.data, y_bytes);
      const int cuts[] = {1, 2, 7, 64, 129, 300, 777};
      for (int i = 0, first = 0; first < most_rows_; ++i) {
        const int rows = std::min(cuts[i % 7], most_rows_ - first);
        // A vector of scales, too, must lie on sixteen bytes.
        if (like.x_scales && first % 4 != 0) {
          first += 4 - first % 4;
          continue;
        }
        call(first, rows);
        first += rows;
      }
      fetch(part);
    } catch (const LibraryError&) {
      return false;  // not for every number of rows
    }
    return same_rows(full, part, y_row, y_width, like.x_scales != nullptr);
  }

  /** `gaps`: rows that `part` left out, which are zero, are not compared. */
  static bool same_rows(const std::vector<uint8_t>& full, const std::vector<uint8_t>& part, size_t y_row, size_t y_width, bool gaps) {
    for (size_t at = 0; at < full.size(); at += y_row) {
      const auto row = part.begin() + at;
      if (gaps && std::all_of(row, row + y_width, [](uint8_t byte) { return byte == 0; })) continue;
      if (!std::equal(row, row + y_width, full.begin() + at)) return false;
    }
    return true;
  }

  const lt::Library& lt_;
  const bool has_fp8_;
  const int most_rows_;
  Uploader& uploader_;
  const DeviceMemory workspace_;
  lt::Handle handle_ = nullptr;
  lt::MatmulDesc plain_ = nullptr, scaled_ = nullptr;
  bool scales_ = false;
  std::map<Key, Plan> plans_;
};

/** Compute capability 8.9 has tensor cores for e4m3. */
constexpr int kLeastFp8Capability = 89;

}  // namespace

std::unique_ptr<Gemm> open_gemm(const DeviceFacts& device, int most_rows, Uploader& uploader, std::string& missing) {
  const lt::Library* const library = lt::open(missing);
  if (!library) return nullptr;
  return std::make_unique<LtGemm>(*library, device.capability >= kLeastFp8Capability, most_rows, uploader);
}

}  // namespace longhaul::cuda
