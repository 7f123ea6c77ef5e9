#include "serve/line_tail.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace temper {
namespace {

constexpr uint64_t kLongestLine = 256 << 20;

}  // namespace

bool LineTail::cut_back() const {
  struct stat now {};
  const uint64_t size = ::stat(path_.c_str(), &now) == 0 ? static_cast<uint64_t>(now.st_size) : 0;
  return size < at_;
}

std::vector<LineTail::Line> LineTail::next(size_t most_bytes) {
  std::vector<Line> out;
  const int fd = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    if (errno == ENOENT) return out;  // not begun yet
    user_error("{}: cannot read: {}", path_, std::strerror(errno));
  }
  std::string text;
  for (uint64_t size = most_bytes; size <= kLongestLine; size *= 2) {
    text.resize(size);
    const ssize_t n = ::pread(fd, text.data(), size, static_cast<off_t>(at_));
    text.resize(n > 0 ? static_cast<size_t>(n) : 0);
    if (text.size() < size || text.find('\n') != std::string::npos) break;
  }
  ::close(fd);
  for (size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    at_ += end + 1 - begin;
    out.push_back({text.substr(begin, end - begin), at_});
  }
  return out;
}

uint64_t line_near_end(const std::string& path, uint64_t bytes) {
  struct stat now {};
  const uint64_t size = ::stat(path.c_str(), &now) == 0 ? static_cast<uint64_t>(now.st_size) : 0;
  if (size <= bytes) return 0;
  // What stands first may be the rest of a line.
  const auto lines = LineTail(path, size - bytes).next(bytes);
  return lines.empty() ? size : lines.front().end;
}

}  // namespace temper
