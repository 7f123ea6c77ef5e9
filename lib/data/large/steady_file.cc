#include "data/large/steady_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace temper {
namespace {

FileStamp stamp_of(const struct stat& info) {
  return {static_cast<uint64_t>(info.st_size), info.st_ino, info.st_dev,
          info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec};
}

}  // namespace

FileStamp stamp_of(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) user_error("{}: cannot open: {}", path, std::strerror(errno));
  return stamp_of(info);
}

SteadyFile::SteadyFile(const std::string& path) : path_(path) {
  fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat info {};
  if (fd_ < 0 || ::fstat(fd_, &info) != 0) {
    const int why = errno;
    if (fd_ >= 0) ::close(fd_);
    user_error("{}: cannot open: {}", path, std::strerror(why));
  }
  stamp_ = stamp_of(info);
}

SteadyFile::~SteadyFile() {
  ::close(fd_);
}

std::string SteadyFile::read(uint64_t at, uint64_t bytes) const {
  std::string out(at < size() ? std::min(bytes, size() - at) : 0, '\0');
  size_t filled = 0;
  while (filled < out.size()) {
    const ssize_t n = ::pread(fd_, out.data() + filled, out.size() - filled, static_cast<off_t>(at + filled));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) user_error("{}: cannot read: {}", path_, std::strerror(errno));
    if (n == 0) break;
    filled += static_cast<size_t>(n);
  }
  check();  // behind the reading, so that what was read is what was there
  if (filled < out.size()) user_error("{}: ends early", path_);
  return out;
}

void SteadyFile::check() const {
  struct stat info {};
  if (::fstat(fd_, &info) != 0) user_error("{}: cannot read: {}", path_, std::strerror(errno));
  const FileStamp now = stamp_of(info);
  if (now == stamp_) return;
  user_error("{}: the file changed while it was in use ({}); put it back as it was, and start again", path_,
             now.bytes == size() ? "other content of the same size"
                                 : fmt::format("{} bytes then, {} now", size(), now.bytes));
}

}  // namespace temper
