#include "base/lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"

namespace temper {
namespace {

std::string local_time() {
  const time_t now = ::time(nullptr);
  tm parts{};
  ::localtime_r(&now, &parts);
  char text[64];
  return std::string(text, ::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S %Z", &parts));
}

std::string host_name() {
  char text[256] = {};
  return ::gethostname(text, sizeof text - 1) == 0 ? text : "an unknown host";
}

// What the holder wrote; it may be about to.
std::string holder(int fd) {
  char text[1024];
  const ssize_t n = ::pread(fd, text, sizeof text, 0);
  const Json json =
      Json::parse(std::string(text, static_cast<size_t>(std::max<ssize_t>(n, 0))), nullptr, false);
  try {
    return fmt::format("process {} on {} since {}", json.at("pid").get<int64_t>(),
                       json.at("host").get<std::string>(), json.at("since").get<std::string>());
  } catch (const Json::exception&) {
    return "another process that has just begun";
  }
}

}  // namespace

FileLock::FileLock(const std::string& path, const std::string& what) {
  fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd_ < 0) user_error("{}: cannot open for writing: {}", path, std::strerror(errno));
  if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
    const int why = errno;
    if (why == EWOULDBLOCK) {
      const std::string who = holder(fd_);
      ::close(fd_);
      user_error("{}: in use by {}; wait for its end, or choose another", what, who);
    }
    log_warning("{}: cannot be locked ({}): nothing keeps a second process out", path, std::strerror(why));
    return;
  }
  const std::string text =
      dump_line({{"pid", ::getpid()}, {"host", host_name()}, {"since", local_time()}}) + "\n";
  // Nobody relies on it being there: a disk that is full must not keep a run from starting.
  const bool told = ::ftruncate(fd_, 0) == 0 && ::pwrite(fd_, text.data(), text.size(), 0) >= 0;
  static_cast<void>(told);
}

FileLock::~FileLock() {
  ::close(fd_);
}

}  // namespace temper
