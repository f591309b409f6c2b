#include "backend/cuda/gemm.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <tuple>

#include "backend/cuda/cublaslt.h"

namespace longhaul::cuda {
namespace {

constexpr size_t kWorkspaceBytes = size_t(32) << 20;

void check_lt(int status, const char* what) {
  if (status != 0) throw DeviceError(std::string(what) + ": cuBLASLt status " + std::to_string(status));
}

/** Row-major y (rows, n_out) = x (rows, n_in) W^T is column-major y^T = W^T^T x^T: A = W with op T, B = x, C = D = y. */
class LtGemm : public Gemm {
 public:
  LtGemm(const lt::Library& library, int most_rows)
      : lt_(library), most_rows_(most_rows), workspace_(allocate_device(kWorkspaceBytes)) {
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
                        args.y.data, layouts.c, &algo, workspace_.get(), kWorkspaceBytes, stream.handle()),
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
      lt_.preference_set(preference, lt::kPreferenceWorkspace, &kWorkspaceBytes, sizeof kWorkspaceBytes);
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
    const size_t element = like.y.bf16 ? 2 : 4, x_bytes = size_t(most_rows_) * like.x.ld * 2;
    const size_t y_row = size_t(like.y.ld) * element, y_bytes = most_rows_ * y_row;
    const DeviceMemory x(allocate_device(x_bytes)), full(allocate_device(y_bytes)), part(allocate_device(y_bytes));
    const PinnedMemory host(allocate_pinned(std::max(x_bytes, 2 * y_bytes)));
    uint32_t random = 2463534242u;
    for (size_t i = 0; i < x_bytes / 2; ++i) {
      random ^= random << 13, random ^= random >> 17, random ^= random << 5;
      // Sign, an exponent within a factor of eight around one, and a full mantissa.
      static_cast<uint16_t*>(host.get())[i] = uint16_t((random & 0x807f) | (126 + (random >> 20) % 3) << 7);
    }
    stream.copy(x.get(), host.get(), x_bytes);
    stream.zero(full.get(), y_bytes);
    stream.zero(part.get(), y_bytes);
    LinearArgs args = like;
    const auto call = [&](void* y, int first, int rows) {
      args.x.data = static_cast<char*>(x.get()) + size_t(first) * like.x.ld * 2;
      args.y.data = static_cast<char*>(y) + first * y_row;
      args.rows = rows;
      multiply(stream, args, algo);
    };
    try {
      call(full.get(), 0, most_rows_);
      const int cuts[] = {1, 2, 7, 64, 129, 300};
      int first = 0;
      for (int i = 0; first < most_rows_; ++i) {
        const int rows = std::min(cuts[i % 6], most_rows_ - first);
        call(part.get(), first, rows);
        first += rows;
      }
    } catch (const DeviceError&) {
      return false;  // not for every number of rows
    }
    stream.copy(host.get(), full.get(), y_bytes);
    stream.copy(static_cast<char*>(host.get()) + y_bytes, part.get(), y_bytes);
    stream.synchronize();
    const char* const bytes = static_cast<const char*>(host.get());
    return std::memcmp(bytes, bytes + y_bytes, y_bytes) == 0;
  }

  const lt::Library& lt_;
  const int most_rows_;
  const DeviceMemory workspace_;
  lt::Handle handle_ = nullptr;
  lt::MatmulDesc desc_ = nullptr;
  std::map<Key, Plan> plans_;
};

}  // namespace

std::unique_ptr<Gemm> open_gemm(int most_rows, std::string& missing) {
  const lt::Library* const library = lt::open(missing);
  if (!library) return nullptr;
  return std::make_unique<LtGemm>(*library, most_rows);
}

}  // namespace longhaul::cuda
