// The tables of `npm run gpu`: FalconMamba-7B's shape with random weights, beside the ceilings measured in the same run.
#pragma once

#include "backend/backend.h"
#include "gpu/ceilings.h"
#include "gpu/deadline.h"
#include "gpu/profile.h"

namespace longhaul {

/**
 * Prints Markdown tables: speeds, and after them the targets that were missed, each with the three rows of `profile` that take most of
 * its time. What did not fit says so.
 */
void print_timings(const CudaOptions& options, const ProfileShape& shape, const Ceilings& ceilings, const std::vector<ProfileTable>& profile,
                   const Deadline& deadline);

}  // namespace longhaul
