// What bounds a run of measurements, and what is made of them.
#pragma once

#include <algorithm>
#include <chrono>
#include <vector>

namespace longhaul {

using Clock = std::chrono::steady_clock;
inline double seconds_since(Clock::time_point began) { return std::chrono::duration<double>(Clock::now() - began).count(); }
inline Clock::time_point seconds_from_now(double seconds) {
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

/** No new row starts after it; what is left out says so. */
struct Deadline {
  Clock::time_point at;
  bool passed() const { return Clock::now() >= at; }
};

inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace longhaul
