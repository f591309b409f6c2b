// Where the time goes: each kernel of a layer by itself, beside the least that the device could take for it.
#pragma once

#include <string>
#include <vector>

#include "backend/backend.h"
#include "engine/config.h"
#include "gpu/ceilings.h"
#include "gpu/deadline.h"

namespace longhaul {

struct ProfileRow {
  std::string name, kernel;
  int times;            // in a chunk, or in a step
  double microseconds;  // 0: not measured, and `why`
  double floor;         // microseconds
  std::string bound;    // what the floor is of
  std::string why = "";
};

struct ProfileTable {
  std::string name;  // "reading, bf16", "decode, nf4, 8 together"
  std::vector<ProfileRow> rows;
  /** Of all rows; 0 where one of them is missing. */
  double milliseconds() const;
};

struct ProfileShape {
  ModelConfig model;
  int chunk;                      // rows of a block that is read
  std::vector<int> decode_rows;
  bool small;                     // on the emulator
};
ProfileShape falcon_mamba_profile();
/** Narrow, for tests. */
ProfileShape tiny_profile();

/** Prints the tables and what cuBLASLt's plans cost, and returns the tables. */
std::vector<ProfileTable> print_profile(const CudaOptions& options, const ProfileShape& shape, const Ceilings& ceilings, const Deadline& deadline);

}  // namespace longhaul
