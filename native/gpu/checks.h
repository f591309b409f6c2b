// What must hold on a device before anything is timed.
#pragma once

#include "backend/backend.h"

namespace longhaul {

/** Prints one line a check: `ok|not ok NAME`, and how far off. Returns how many failed. */
int check_ops(const CudaOptions& options, bool quick);
/** A small model against the CPU; and the same bits however it is cut, shared, saved and restored. */
int check_model(const CudaOptions& options);

}  // namespace longhaul
