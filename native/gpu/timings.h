// The tables of `npm run gpu`: FalconMamba-7B's shape with random weights, beside the ceilings measured in the same run.
#pragma once

#include "backend/backend.h"

namespace longhaul {

/** Prints Markdown tables; `seconds` bounds the whole of it, and what did not fit says so. */
void print_timings(const CudaOptions& options, double seconds);

}  // namespace longhaul
