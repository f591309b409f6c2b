#include "gpu/find_cublaslt.h"

#include <cstdlib>
#include <string>

#include "backend/cuda/gemm.h"
#include "gpu/first_line.h"
#include "gpu/report.h"

namespace longhaul {
namespace {

// The folder of the library differs by its version: nvidia/cublas/lib for 12, nvidia/cu13/lib for 13.
constexpr const char* kAsk =
    "python3 -c 'import glob, sys\n"
    "found = [f for p in sys.path for f in glob.glob(p + \"/nvidia/*/lib/libcublasLt.so.1[23]\")]\n"
    "print(max(found, key=lambda f: f[-2:], default=\"\"))' 2>/dev/null";

bool opens(int device, std::string& missing) {
  cuda::Uploader uploader(size_t(1) << 16);
  return cuda::open_gemm(cuda::device_facts(device), 16, uploader, missing) != nullptr;
}

}  // namespace

void find_cublaslt(int device) {
  std::string missing;
  if (opens(device, missing)) return;
  // Whoever names a file, or none, means it.
  if (std::getenv("LONGHAUL_CUBLASLT")) return say("%s\n", missing.c_str());
  const std::string path = first_line(kAsk);
  if (!path.empty()) {
    setenv("LONGHAUL_CUBLASLT", path.c_str(), 1);
    if (opens(device, missing)) return say("cuBLASLt: %s\n", path.c_str());
  }
  say("%s\n... and beside the packages of python3, which have %s\n", missing.c_str(), path.empty() ? "none" : path.c_str());
}

}  // namespace longhaul
