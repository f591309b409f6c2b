// As much JSON as config.json, manifest.json and a safetensors header need. For the repository's own files: what is not
// JSON throws std::runtime_error, and nesting deeper than a few dozen levels does too.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace longhaul {

struct Json {
  enum class Kind { null, boolean, number, string, array, object };
  Kind kind = Kind::null;
  double number = 0;  // 0 or 1 for a boolean
  std::string text;
  std::vector<Json> items;
  std::map<std::string, Json> members;

  static Json parse(const std::string& text);
  /** Null where there is no such member. */
  const Json* find(const std::string& key) const;
  /** Throws where there is no such member. */
  const Json& at(const std::string& key) const;
  double number_or(const std::string& key, double otherwise) const;
};

}  // namespace longhaul
