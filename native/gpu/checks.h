// What must hold on a device before anything is timed.
#pragma once

#include <string>

#include "backend/backend.h"

namespace longhaul {

/** Prints one line a check: `ok|not ok NAME`, and how far off. Returns how many failed. */
int check_ops(const CudaOptions& options, bool quick, const std::string& only);
/** The engine's own large products, in large tiles and small ones: against double precision, and the same bits however rows are cut. */
int check_tiles(const CudaOptions& options);
/** Tokens drawn from shortlists against tokens drawn from whole rows. */
int check_sampling(const CudaOptions& options);
/** All 256 codes of e4m3, and how numbers between them round. */
int check_fp8();
/** What FalconMamba-7B needs, with chunks of 2,048 tokens and 64 sessions: under 20 GB in bf16, under 8 GB in 4 bits. */
int check_memory(const CudaOptions& options);
/** Nothing is allocated once a model is loaded, and one more session than there are slots is refused. */
int check_allocations(const CudaOptions& options);
/** Everything in the folders of goldens at `path`, as `npm run golden` checks it; quick: of the shortest sequences alone. */
int check_goldens(const CudaOptions& options, const std::string& path, bool quick);
/** A small model against the CPU; and the same bits however it is cut, shared, saved and restored. */
int check_model(const CudaOptions& options);

}  // namespace longhaul
