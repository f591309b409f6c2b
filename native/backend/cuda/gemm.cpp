#include "backend/cuda/gemm.h"

#include <algorithm>
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

/** Row-major y (rows, n_out) = x (rows, n_in) W^T is column-major y^T = W^T^T x^T: A = W with op T, B = x, C = D = y. */
class LtGemm : public Gemm {
 public:
  LtGemm(const lt::Library& library, int most_rows, Uploader& uploader)
      : lt_(library), most_rows_(most_rows), uploader_(uploader), workspace_(allocate_device(kGemmWorkspaceBytes)) {
    check_lt(lt_.create(&handle_), "cublasLtCreate");
    check_lt(lt_.desc_create(&desc_, lt::kCompute32F, lt::kF32), "cublasLtMatmulDescCreate");
    check_lt(lt_.desc_set(desc_, lt::kDescTransA, &lt::kTranspose, sizeof lt::kTranspose), "cublasLtMatmulDescSetAttribute");
  }
  ~LtGemm() override {
    lt_.desc_destroy(desc_);
    lt_.destroy(handle_);
  }

  bool run(Stream& stream, const LinearArgs& args) override {
    const Key key{args.w.n_in, args.w.n_out, args.y.bf16, args.accumulate, args.x.ld, args.y.ld};
    const auto found = plans_.find(key);
    const Plan& plan = found != plans_.end() ? found->second : plans_.emplace(key, choose(stream, args)).first->second;
    if (!plan.usable) return false;
    multiply(stream, args, plan.algo);
    return true;
  }

 private:
  using Key = std::tuple<int, int, bool, bool, int, int>;
  struct Plan {
    bool usable = false;
    lt::Algo algo;
  };
  /** The layouts of one call. */
  struct Layouts {
    const lt::Library& lt;
    lt::Layout a = nullptr, b = nullptr, c = nullptr;
    Layouts(const lt::Library& lt, const LinearArgs& args, int rows) : lt(lt) {
      const WeightView& w = args.w;
      check_lt(lt.layout_create(&a, lt::kBf16, w.n_in, w.n_out, w.n_in), "cublasLtMatrixLayoutCreate");
      check_lt(lt.layout_create(&b, lt::kBf16, w.n_in, rows, args.x.ld), "cublasLtMatrixLayoutCreate");
      check_lt(lt.layout_create(&c, args.y.bf16 ? lt::kBf16 : lt::kF32, w.n_out, rows, args.y.ld), "cublasLtMatrixLayoutCreate");
    }
    ~Layouts() {
      for (lt::Layout layout : {a, b, c})
        if (layout) lt.layout_destroy(layout);
    }
  };

  void multiply(Stream& stream, const LinearArgs& args, const lt::Algo& algo) {
    const Layouts layouts(lt_, args, args.rows);
    const float alpha = 1.0f, beta = args.accumulate ? 1.0f : 0.0f;
    check_lt(lt_.matmul(handle_, desc_, &alpha, args.w.data, layouts.a, args.x.data, layouts.b, &beta, args.y.data, layouts.c,
                        args.y.data, layouts.c, &algo, workspace_.get(), kGemmWorkspaceBytes, stream.handle()),
             "cublasLtMatmul");
  }

  /** The first candidate whose rows have the same bits in a full call as in small ones. */
  Plan choose(Stream& stream, const LinearArgs& args) {
    lt::HeuristicResult results[16];
    int count = 0;
    {
      const Layouts layouts(lt_, args, most_rows_);
      lt::Preference preference;
      check_lt(lt_.preference_create(&preference), "cublasLtMatmulPreferenceCreate");
      lt_.preference_set(preference, lt::kPreferenceWorkspace, &kGemmWorkspaceBytes, sizeof kGemmWorkspaceBytes);
      lt_.preference_set(preference, lt::kPreferenceReduction, &lt::kReductionNone, sizeof lt::kReductionNone);
      lt_.heuristic(handle_, desc_, layouts.a, layouts.b, layouts.c, layouts.c, preference, 16, results, &count);
      lt_.preference_destroy(preference);
    }
    for (int i = 0; i < count; ++i) {
      int32_t split = 0;
      size_t written = 0;
      if (results[i].state != 0) continue;
      if (lt_.config_get(&results[i].algo, lt::kConfigSplitK, &split, sizeof split, &written) == 0 && split > 1) continue;
      if (keeps_rows(stream, args, results[i].algo)) return {true, results[i].algo};
    }
    return {};
  }

  bool keeps_rows(Stream& stream, const LinearArgs& like, const lt::Algo& algo) {
    const size_t x_row = size_t(like.x.ld) * 2, y_element = like.y.bf16 ? 2 : 4, y_row = size_t(like.y.ld) * y_element;
    // y may be a window of columns.
    const size_t y_bytes = (most_rows_ - 1) * y_row + like.w.n_out * y_element;
    std::vector<char> full(y_bytes), part(y_bytes);
    {
      std::vector<uint16_t> x(most_rows_ * x_row / 2);
      uint32_t random = 2463534242u;
      for (uint16_t& value : x) {
        random ^= random << 13, random ^= random >> 17, random ^= random << 5;
        // Sign, an exponent within a factor of eight around one, and a full mantissa.
        value = uint16_t((random & 0x807f) | (126 + (random >> 20) % 3) << 7);
      }
      stream.synchronize();
      uploader_.upload(like.x.data, x.data(), most_rows_ * x_row);
      uploader_.finish();
    }
    LinearArgs args = like;
    const auto call = [&](int first, int rows) {
      args.x.data = static_cast<char*>(like.x.data) + size_t(first) * x_row;
      args.y.data = static_cast<char*>(like.y.data) + size_t(first) * y_row;
      args.rows = rows;
      multiply(stream, args, algo);
    };
    const auto fetch = [&](std::vector<char>& into) {
      stream.synchronize();
      uploader_.download(into.data(), like.y.data, y_bytes);
    };
    try {
      stream.zero(like.y.data, y_bytes);
      call(0, most_rows_);
      fetch(full);
      stream.zero(like.y.data, y_bytes);
      const int cuts[] = {1, 2, 7, 64, 129, 300};
      for (int i = 0, first = 0; first < most_rows_; ++i) {
        const int rows = std::min(cuts[i % 6], most_rows_ - first);
        call(first, rows);
        first += rows;
      }
      fetch(part);
    } catch (const LibraryError&) {
      return false;  // not for every number of rows
    }
    return full == part;
  }

  const lt::Library& lt_;
  const int most_rows_;
  Uploader& uploader_;
  const DeviceMemory workspace_;
  lt::Handle handle_ = nullptr;
  lt::MatmulDesc desc_ = nullptr;
  std::map<Key, Plan> plans_;
};

}  // namespace

std::unique_ptr<Gemm> open_gemm(int most_rows, Uploader& uploader, std::string& missing) {
  const lt::Library* const library = lt::open(missing);
  if (!library) return nullptr;
  return std::make_unique<LtGemm>(*library, most_rows, uploader);
}

}  // namespace longhaul::cuda
