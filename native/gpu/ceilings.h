// The most that a device gives, measured in the run whose figures stand beside it.
#pragma once

#include "gpu/device_report.h"

namespace longhaul {

struct Ceilings {
  double bytes_per_second = 0;  // read plus written, of a large copy
  double flops = 0, fp8_flops = 0;  // the fastest algorithm that cuBLASLt has for the largest product of the model, of any kind; 0: not measured
  double to_device = 0;  // bytes a second from page-locked memory
  DeviceClocks clocks;
};

/** `small`: of the emulator, whose figures mean nothing. */
Ceilings measure_ceilings(int device, bool small);
void print_ceilings(const Ceilings& ceilings);

}  // namespace longhaul
