// What programs tell people, on stderr: lines, and one status line at the bottom that lines never break.
#pragma once

#include <fmt/core.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace temper {

enum class LogLevel { kInfo, kWarning };

struct ConsoleOptions {
  int fd = 2;
  bool quiet = false;                 // only warnings; no status line
  std::optional<bool> terminal = {};  // default: asks the descriptor; TERM=dumb is no terminal
  std::optional<bool> colour = {};    // default: a terminal and NO_COLOR unset
  std::optional<int> width = {};      // columns; default: asks the terminal at each redraw
};

// Owned by a program's main. While it lives, log_info and log_warning of every room go through it.
// Thread-safe.
class Console {
 public:
  explicit Console(ConsoleOptions options = {});
  ~Console();  // clears the status line
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  void line(std::string_view text, LogLevel level = LogLevel::kInfo);
  // Redraws the status line in place, cut to the width. Nothing happens when it is not a terminal. Empty:
  // clears it.
  void status(std::string_view text);

  bool terminal() const { return terminal_; }
  bool quiet() const { return options_.quiet; }
  bool unicode() const { return unicode_; }  // the locale can show box characters
  int width() const;                         // columns; 80 when unknown

 private:
  ConsoleOptions options_;
  bool terminal_, colour_, unicode_;
  mutable std::mutex mutex_;
  std::string shown_;  // the status line that stands on the screen
};

// What may be shown on a terminal: control characters (but for line ends and tabs) and bytes that are not
// UTF-8 become "?". Lines may quote files and model output.
std::string printable(std::string_view text);

// For every room: one line for people. Goes to the program's Console, or to stderr when there is none.
void log_line(LogLevel level, std::string_view text);

template <typename... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::kInfo, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::kWarning, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace temper
