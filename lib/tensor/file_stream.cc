#include "tensor/file_stream.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"

namespace temper {

FileStream::FileStream(const std::string& path) : path_(path), temporary_(path + ".tmp") {
  fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd_ < 0) user_error("{}: cannot create: {}", temporary_, std::strerror(errno));
}

FileStream::~FileStream() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(temporary_.c_str());
}

void FileStream::write(const void* data, uint64_t bytes) {
  const char* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t n = ::write(fd_, next, std::min<uint64_t>(bytes, 1 << 30));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) user_error("{}: cannot write: {}", path_, std::strerror(errno));
    next += n;
    bytes -= static_cast<uint64_t>(n);
    bytes_ += static_cast<uint64_t>(n);
  }
}

void FileStream::write_zeros(uint64_t bytes) {
  static const char zeros[4096] = {};
  for (; bytes > 0; bytes -= std::min<uint64_t>(bytes, sizeof zeros)) {
    write(zeros, std::min<uint64_t>(bytes, sizeof zeros));
  }
}

void FileStream::commit() {
  if (::fsync(fd_) != 0) user_error("{}: cannot sync: {}", path_, std::strerror(errno));
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    user_error("{}: cannot rename into place: {}", path_, std::strerror(errno));
  }
  ::close(fd_);
  fd_ = -1;
  const fs::path parent = fs::path(path_).parent_path();
  sync_path(parent.empty() ? "." : parent.string());
}

}  // namespace temper
