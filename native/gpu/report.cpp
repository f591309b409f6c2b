#include "gpu/report.h"

#include <cstdarg>
#include <cstdio>
#include <fstream>
#include <regex>
#include <stdexcept>

namespace longhaul {
namespace {

std::string& all_said() {
  static std::string text;
  return text;
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) out += c;
  }
  return out + '"';
}

std::string trimmed(const std::string& text) {
  const size_t begin = text.find_first_not_of(' '), end = text.find_last_not_of(' ');
  return begin == std::string::npos ? "" : text.substr(begin, end - begin + 1);
}

std::string cell_of(const std::string& text) {
  // As JSON has them; the digits of a commit are no number.
  static const std::regex number("-?(0|[1-9][0-9]{0,10})([.][0-9]+)?");
  return std::regex_match(text, number) ? text : quoted(text);
}

/** The cells of `| a | b |`. */
std::vector<std::string> cells(const std::string& line) {
  std::vector<std::string> out;
  for (size_t at = 1; at < line.size();) {
    const size_t bar = std::min(line.find('|', at), line.size());
    out.push_back(trimmed(line.substr(at, bar - at)));
    at = bar + 1;
  }
  return out;
}

template <class Each>
std::string list(const std::vector<std::string>& items, const Each& each) {
  std::string out;
  for (const std::string& item : items) out += (out.empty() ? "" : ", ") + each(item);
  return "[" + out + "]";
}

}  // namespace

void say(const char* format, ...) {
  char line[2048];
  va_list args;
  va_start(args, format);
  std::vsnprintf(line, sizeof line, format, args);
  va_end(args);
  std::fputs(line, stdout);
  all_said() += line;
}

void write_report(const std::string& path, const Facts& facts) {
  std::vector<std::string> lines{""};
  for (const char c : all_said()) {
    if (c == '\n')
      lines.emplace_back();
    else
      lines.back() += c;
  }
  std::string out = "{\n";
  for (const auto& [name, value] : facts) out += "  " + quoted(name) + ": " + cell_of(value) + ",\n";
  out += "  \"tables\": [";
  bool first_table = true;
  for (size_t i = 0; i + 1 < lines.size(); ++i) {
    if (lines[i + 1].rfind("|-", 0) != 0) continue;
    out += std::string(first_table ? "" : ",") + "\n    {\"columns\": " + list(cells(lines[i]), quoted) + ", \"rows\": [";
    first_table = false;
    size_t row = i + 2;
    for (; row < lines.size() && lines[row].rfind('|', 0) == 0; ++row)
      out += std::string(row > i + 2 ? "," : "") + "\n      " + list(cells(lines[row]), cell_of);
    out += "]}";
  }
  std::ofstream file(path);
  file << out << "\n  ]\n}\n";
  if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

}  // namespace longhaul
