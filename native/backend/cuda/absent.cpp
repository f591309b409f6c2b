// What a build without CUDA says.
#include <stdexcept>

#include "backend/backend.h"

namespace longhaul {

std::unique_ptr<Backend> create_cuda_backend(const CudaOptions& options) {
  throw std::invalid_argument("cuda:" + std::to_string(options.device) + ": this build has no CUDA backend (nvcc was not found)");
}

std::string probe_cuda() { return "not built: nvcc was not found"; }

}  // namespace longhaul
