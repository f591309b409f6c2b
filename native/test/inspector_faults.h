// Kernels with one fault each, which the inspector must find.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace longhaul {

struct PlantedFault {
  std::string name;
  std::string rule, what;  // of a finding, its beginning; "" where nothing may be found
  std::function<void()> run;
};
std::vector<PlantedFault> planted_faults();

}  // namespace longhaul
