#include "backend/cuda/cublaslt.h"

#include <dlfcn.h>

#include <cstdlib>
#include <mutex>
#include <vector>

namespace longhaul::cuda::lt {
namespace {

struct Opened {
  Library library{};
  bool found = false;
  std::string missing;
};

bool load_names(void* handle, Library& library, std::string& missing) {
  const auto load = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::decay_t<decltype(function)>>(dlsym(handle, name));
    if (!function) missing = std::string("it has no ") + name;
    return function != nullptr;
  };
  return load(library.version, "cublasLtGetVersion") && load(library.create, "cublasLtCreate") && load(library.destroy, "cublasLtDestroy") &&
         load(library.desc_create, "cublasLtMatmulDescCreate") && load(library.desc_set, "cublasLtMatmulDescSetAttribute") &&
         load(library.desc_destroy, "cublasLtMatmulDescDestroy") && load(library.layout_create, "cublasLtMatrixLayoutCreate") &&
         load(library.layout_destroy, "cublasLtMatrixLayoutDestroy") &&
         load(library.preference_create, "cublasLtMatmulPreferenceCreate") &&
         load(library.preference_set, "cublasLtMatmulPreferenceSetAttribute") &&
         load(library.preference_destroy, "cublasLtMatmulPreferenceDestroy") &&
         load(library.heuristic, "cublasLtMatmulAlgoGetHeuristic") &&
         load(library.config_get, "cublasLtMatmulAlgoConfigGetAttribute") && load(library.matmul, "cublasLtMatmul");
}

/** What LONGHAUL_CUBLASLT names, the loader's own search, and where NVIDIA's packages put it; 13 before 12. */
std::vector<std::string> candidates() {
  std::vector<std::string> paths;
  if (const char* named = std::getenv("LONGHAUL_CUBLASLT"); named && *named) paths.push_back(named);
  const std::string names[] = {"libcublasLt.so.13", "libcublasLt.so.12"};
  for (const std::string& name : names) paths.push_back(name);
  for (const std::string& name : names)
    for (const char* folder : {"/usr/local/cuda/lib64/", "/usr/lib/x86_64-linux-gnu/", "/usr/lib/aarch64-linux-gnu/"})
      paths.push_back(folder + name);
  return paths;
}

Opened open_library() {
  Opened opened;
  const char* const named = std::getenv("LONGHAUL_CUBLASLT");
  if (named && std::string(named) == "none") {
    opened.missing = "cuBLASLt is not used: LONGHAUL_CUBLASLT is none";
    return opened;
  }
  std::string tried;
  for (const std::string& path : candidates()) {
    tried += (tried.empty() ? "" : ", ") + path;
    void* const handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!handle) continue;
    std::string missing;
    if (load_names(handle, opened.library, missing)) {
      opened.found = true;
      return opened;
    }
    tried += " (" + missing + ")";
    dlclose(handle);
  }
  opened.missing = "cuBLASLt was not found: looked for " + tried + "; LONGHAUL_CUBLASLT names the file";
  return opened;
}

}  // namespace

const Library* open(std::string& missing) {
  static std::mutex mutex;
  static Opened opened;
  const std::lock_guard lock(mutex);
  if (!opened.found) opened = open_library();
  missing = opened.missing;
  return opened.found ? &opened.library : nullptr;
}

}  // namespace longhaul::cuda::lt
