// What another program says.
#pragma once

#include <cstdio>
#include <string>

namespace longhaul {

/** The first line that a shell command prints, "" where it prints none or is not there. */
inline std::string first_line(const char* command) {
  std::FILE* const pipe = popen(command, "r");
  if (!pipe) return "";
  char line[4096] = "";
  std::string text = std::fgets(line, sizeof line, pipe) ? line : "";
  pclose(pipe);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

}  // namespace longhaul
