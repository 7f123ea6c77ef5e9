// Errors that carry their context, and the exit codes they map to.
#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <string>

namespace temper {

enum ExitCode { kExitDone = 0, kExitBug = 1, kExitUser = 2, kExitSigint = 130, kExitSigterm = 143 };

// The user's mistake: a wrong file, key, value or option. The message is one line that says what, where, what
// was expected, what was found, and what to try. Programs print it and exit with 2.
class UserError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Thrown by a loop that has saved its state after a signal; programs exit with 128 + signal.
class Interrupted : public std::runtime_error {
 public:
  explicit Interrupted(int signal) : std::runtime_error("interrupted"), signal(signal) {}
  int signal;
};

template <typename... Args>
[[noreturn]] void user_error(fmt::format_string<Args...> format, Args&&... args) {
  throw UserError(fmt::format(format, std::forward<Args>(args)...));
}

// A broken promise inside Temper, as opposed to the user's mistake. Exit code 1.
template <typename... Args>
[[noreturn]] void bug(fmt::format_string<Args...> format, Args&&... args) {
  throw std::logic_error(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace temper
