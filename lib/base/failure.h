// Failures of the machine that arrive as exceptions of other libraries.
#pragma once

#include <exception>
#include <string>

namespace temper {

// What to tell people about an exception that is neither a UserError nor a bug: a file or folder that cannot
// be used (its path and the reason), no memory, no further thread. Empty: it is none of these.
std::string machine_failure(const std::exception& e);

}  // namespace temper
