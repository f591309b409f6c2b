// What gpu_check says: lines on the standard output as they come, and at the end the same as a JSON file.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace longhaul {

/** As printf, and kept for `write_report`. */
__attribute__((format(printf, 1, 2))) void say(const char* format, ...);

using Facts = std::vector<std::pair<std::string, std::string>>;
/**
 * Every fact is a member of the object, and every Markdown table that was said an element of `tables`: its columns' names, and its
 * rows, in which a cell that is nothing but a number is one.
 */
void write_report(const std::string& path, const Facts& facts);

}  // namespace longhaul
