// What a figure must be read with: the device, its clocks as they were found, and the versions of what ran.
#pragma once

#include "gpu/report.h"

namespace longhaul {

struct DeviceClocks {
  double multiprocessor_hz = 0;  // the highest; 0 where it is not known
  int multiprocessors = 1;
};
DeviceClocks device_clocks(int device);

/** Also the commit, where git and the repository are there, and the date. */
Facts device_report(int device);

}  // namespace longhaul
