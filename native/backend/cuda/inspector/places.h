// Code addresses in words: function, file and line, by addr2line.
#pragma once

#include <string>

namespace longhaul::cuda::inspector {

/** "function (file:line)", the innermost of what was inlined; "" for null. Addresses are those that calls return to. */
std::string describe(const void* where);
/** Two addresses of one line of source, which a compiler may make twice. */
bool same_line(const void* a, const void* b);

}  // namespace longhaul::cuda::inspector
