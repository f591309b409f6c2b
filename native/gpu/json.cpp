#include "gpu/json.h"

#include <cstdlib>
#include <cstring>
#include <stdexcept>

namespace longhaul {
namespace {

constexpr int kDeepest = 32;

class Parser {
 public:
  explicit Parser(const std::string& text) : text_(text), at_(text.c_str()), end_(at_ + text.size()) {}

  Json whole() {
    Json value = next(0);
    space();
    if (at_ != end_) fail("more than one value");
    return value;
  }

 private:
  [[noreturn]] void fail(const char* what) const {
    throw std::runtime_error(std::string("not JSON: ") + what + " at byte " + std::to_string(at_ - text_.c_str()));
  }
  void space() {
    while (at_ != end_ && std::strchr(" \t\r\n", *at_) && *at_) ++at_;
  }
  bool take(char c) {
    space();
    if (at_ == end_ || *at_ != c) return false;
    ++at_;
    return true;
  }
  void need(char c) {
    if (!take(c)) fail((std::string("no ") + c).c_str());
  }
  bool word(const char* name) {
    const size_t length = std::strlen(name);
    if (size_t(end_ - at_) < length || std::strncmp(at_, name, length) != 0) return false;
    at_ += length;
    return true;
  }

  Json next(int depth) {
    if (depth > kDeepest) fail("too deep");
    Json value;
    if (take('{')) {
      value.kind = Json::Kind::object;
      if (take('}')) return value;
      do {
        space();
        std::string key = string();
        need(':');
        value.members[std::move(key)] = next(depth + 1);
      } while (take(','));
      need('}');
    } else if (take('[')) {
      value.kind = Json::Kind::array;
      if (take(']')) return value;
      do value.items.push_back(next(depth + 1));
      while (take(','));
      need(']');
    } else if (at_ != end_ && *at_ == '"') {
      value.kind = Json::Kind::string;
      value.text = string();
    } else if (word("true") || word("false")) {
      value.kind = Json::Kind::boolean;
      value.number = at_[-2] == 'u';  // tr-u-e
    } else if (!word("null")) {
      char* after = nullptr;
      value.kind = Json::Kind::number;
      value.number = std::strtod(at_, &after);
      if (after == at_) fail("no value");
      at_ = after;
    }
    return value;
  }

  std::string string() {
    need('"');
    std::string out;
    while (at_ != end_ && *at_ != '"') {
      if (*at_ == '\\' && ++at_ != end_) {
        static constexpr char kNames[] = "bfnrt", kValues[] = "\b\f\n\r\t";
        if (*at_ == 'u') fail("\\u is not read here");
        const char* const named = std::strchr(kNames, *at_);
        out += named && *named ? kValues[named - kNames] : *at_;
      } else {
        out += *at_;
      }
      ++at_;
    }
    need('"');
    return out;
  }

  const std::string& text_;
  const char *at_, *const end_;
};

}  // namespace

Json Json::parse(const std::string& text) { return Parser(text).whole(); }

const Json* Json::find(const std::string& key) const {
  const auto found = members.find(key);
  return found == members.end() ? nullptr : &found->second;
}

const Json& Json::at(const std::string& key) const {
  if (const Json* const found = find(key)) return *found;
  throw std::runtime_error("no " + key + " there");
}

double Json::number_or(const std::string& key, double otherwise) const {
  const Json* const found = find(key);
  return found && found->kind == Kind::number ? found->number : otherwise;
}

}  // namespace longhaul
