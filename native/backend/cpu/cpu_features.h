// What this processor offers, asked once through the compiler's cpuid support (which also checks the OS).
#pragma once

#include <string>
#include <vector>

#include "backend/backend.h"

namespace longhaul::cpu {

/** The best instruction set that both this build and this processor have. */
Isa best_isa();
bool has_isa(Isa isa);
const char* isa_name(Isa isa);
std::vector<std::string> cpu_features();
std::string cpu_model();

}  // namespace longhaul::cpu
