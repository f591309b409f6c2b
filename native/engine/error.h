// The engine's one exception: a code from the closed list in native/errors.ts, and a text.
#pragma once

#include <stdexcept>
#include <string>

namespace longhaul {

class EngineError : public std::runtime_error {
 public:
  EngineError(const char* code, const std::string& message) : std::runtime_error(message), code(code) {}
  const char* const code;
};

}  // namespace longhaul
