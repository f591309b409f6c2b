#include "gpu/device_report.h"

#include <cstdio>
#include <ctime>

#include "backend/cuda/runtime.h"
#include "gpu/first_line.h"

namespace longhaul {
namespace {

#if defined(LONGHAUL_CUDA_RUNTIME)
int attribute(cudaDeviceAttr which, int device) {
  int value = 0;
  cuda::check(cudaDeviceGetAttribute(&value, which, device), "cudaDeviceGetAttribute");
  return value;
}

/** 13000 is 13.0 */
std::string version(int number) { return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10); }
#endif

}  // namespace

DeviceClocks device_clocks(int device) {
  DeviceClocks clocks;
  clocks.multiprocessors = cuda::device_facts(device).multiprocessors;
#if defined(LONGHAUL_CUDA_RUNTIME)
  clocks.multiprocessor_hz = 1e3 * attribute(cudaDevAttrClockRate, device);
#endif
  return clocks;
}

Facts device_report(int device) {
  const cuda::DeviceFacts facts = cuda::device_facts(device);
  Facts out{{"device", facts.name}, {"architecture", facts.architecture}, {"memoryMiB", std::to_string(facts.total_bytes >> 20)},
            {"multiprocessors", std::to_string(facts.multiprocessors)}};
#if defined(LONGHAUL_CUDA_RUNTIME)
  int driver = 0, runtime = 0;
  cuda::check(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
  cuda::check(cudaRuntimeGetVersion(&runtime), "cudaRuntimeGetVersion");
  out.push_back({"driverCuda", version(driver)});
  out.push_back({"runtimeCuda", version(runtime)});
  out.push_back({"clockMHz", std::to_string(attribute(cudaDevAttrClockRate, device) / 1000)});
  out.push_back({"memoryClockMHz", std::to_string(attribute(cudaDevAttrMemoryClockRate, device) / 1000)});
  out.push_back({"secondLevelCacheMiB", std::to_string(attribute(cudaDevAttrL2CacheSize, device) >> 20)});
  const std::string fields = "driver_version,clocks.sm,clocks.mem,clocks.max.sm,clocks.max.mem,temperature.gpu,power.draw";
  out.push_back({"nvidia-smi", first_line(("nvidia-smi -i " + std::to_string(device) + " --query-gpu=" + fields + " --format=csv,noheader 2>/dev/null").c_str())});
#endif
  out.push_back({"commit", first_line("git -C '" LONGHAUL_SOURCE "' describe --always --dirty --abbrev=12 2>/dev/null")});
  char date[32];
  const std::time_t now = std::time(nullptr);
  std::strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&now));
  out.push_back({"date", date});
  return out;
}

}  // namespace longhaul
