#include "base/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace temper {
namespace {

// The way from log_line to the Console: a named logger in spdlog's registry, so that no global of ours is
// needed.
constexpr const char* kLogger = "temper";

class ConsoleSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit ConsoleSink(Console& console) : console_(console) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    console_.line(std::string_view(message.payload.data(), message.payload.size()),
                  message.level >= spdlog::level::warn ? LogLevel::kWarning : LogLevel::kInfo);
  }
  void flush_() override {}

 private:
  Console& console_;
};

// Nobody can be told that stderr is gone, so a failed write ends quietly.
void put(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    text.remove_prefix(static_cast<size_t>(n));
  }
}

// The first `columns` characters; every character counts as one column.
std::string_view cut(std::string_view text, int columns) {
  size_t end = 0;
  for (int n = 0; end < text.size(); ++end) {
    const bool starts_character = (static_cast<unsigned char>(text[end]) & 0xc0) != 0x80;
    if (starts_character && ++n > columns) break;
  }
  return text.substr(0, end);
}

bool set(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && value[0] != '\0';
}

bool locale_is_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    if (!set(name)) continue;
    const std::string value = std::getenv(name);
    return value.find("UTF-8") != std::string::npos || value.find("utf8") != std::string::npos;
  }
  return false;
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out(text);
  for (size_t i = 0; i < out.size();) {
    const auto byte = static_cast<unsigned char>(out[i]);
    const size_t length = byte < 0x80                   ? 1
                          : byte >= 0xc2 && byte < 0xe0 ? 2
                          : byte >= 0xe0 && byte < 0xf0 ? 3
                          : byte >= 0xf0 && byte < 0xf5 ? 4
                                                        : 0;
    bool whole = length > 0 && i + length <= out.size();
    for (size_t k = 1; whole && k < length; ++k)
      whole = (static_cast<unsigned char>(out[i + k]) & 0xc0) == 0x80;
    const bool control = (byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7f;
    if (!whole || control) out[i] = '?';
    i += whole ? length : 1;
  }
  return out;
}

Console::Console(ConsoleOptions options) : options_(std::move(options)) {
  const char* term = std::getenv("TERM");
  terminal_ = options_.terminal.value_or(::isatty(options_.fd) == 1 && term != nullptr &&
                                         std::string_view(term) != "dumb");
  colour_ = options_.colour.value_or(terminal_ && !set("NO_COLOR"));
  unicode_ = locale_is_utf8();
  spdlog::drop(kLogger);
  spdlog::register_logger(std::make_shared<spdlog::logger>(kLogger, std::make_shared<ConsoleSink>(*this)));
}

Console::~Console() {
  spdlog::drop(kLogger);
  status("");
}

int Console::width() const {
  if (options_.width) return *options_.width;
  winsize size{};
  if (::ioctl(options_.fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

void Console::line(std::string_view text, LogLevel level) {
  if (options_.quiet && level == LogLevel::kInfo) return;
  const std::lock_guard lock(mutex_);
  std::string out = shown_.empty() ? "" : "\r\x1b[K";
  const bool warning = level == LogLevel::kWarning;
  if (warning) out += colour_ ? "\x1b[33mwarning:\x1b[0m " : "warning: ";
  out += printable(text);
  out += '\n';
  out += shown_;
  put(options_.fd, out);
}

void Console::status(std::string_view text) {
  if (!terminal_ || options_.quiet) return;
  const std::string clean = printable(text);
  // One column is left free: a full line would make some terminals wrap.
  const std::string next(cut(clean, width() - 1));
  const std::lock_guard lock(mutex_);
  if (next == shown_) return;
  put(options_.fd, "\r" + next + "\x1b[K");  // overwrite, then clear the rest: never an empty line in between
  shown_ = next;
}

void log_line(LogLevel level, std::string_view text) {
  if (const auto logger = spdlog::get(kLogger)) {
    logger->log(level == LogLevel::kWarning ? spdlog::level::warn : spdlog::level::info,
                spdlog::string_view_t(text.data(), text.size()));
    return;
  }
  put(2, (level == LogLevel::kWarning ? "warning: " : "") + printable(text) + "\n");
}

}  // namespace temper
