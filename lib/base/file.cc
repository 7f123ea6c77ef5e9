#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/output.h"

namespace temper {
namespace {

std::string reason() {
  return std::strerror(errno);
}

void write_all(int fd, std::string_view content, const std::string& path) {
  while (!content.empty()) {
    const ssize_t n = ::write(fd, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) user_error("{}: cannot write: {}", path, reason());
    content.remove_prefix(static_cast<size_t>(n));
  }
}

}  // namespace

std::string read_file(const std::string& path, uint64_t max_bytes) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) user_error("{}: cannot open: {}", path, reason());
  struct stat info {};
  if (::fstat(fd, &info) != 0 || S_ISDIR(info.st_mode)) {
    ::close(fd);
    user_error("{}: expected a file, found a folder", path);
  }
  std::string content;
  char buffer[1 << 16];
  while (true) {
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const std::string why = reason();
      ::close(fd);
      user_error("{}: cannot read: {}", path, why);
    }
    if (n == 0) break;
    content.append(buffer, static_cast<size_t>(n));
    if (content.size() > max_bytes) {
      ::close(fd);
      user_error("{}: larger than the {} bytes allowed here", path, max_bytes);
    }
  }
  ::close(fd);
  return content;
}

void write_file_atomic(const std::string& path, std::string_view content) {
  FileStream file(path);
  file.write(content.data(), content.size());
  file.commit();
}

void sync_path(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) user_error("{}: cannot open to sync: {}", path, reason());
  const int result = ::fsync(fd);
  const int why = errno;
  ::close(fd);
  if (result != 0 && why != EINVAL) user_error("{}: cannot sync: {}", path, std::strerror(why));
}

MappedFile::MappedFile(const std::string& path) : path_(path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) user_error("{}: cannot open: {}", path, reason());
  struct stat info {};
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(fd);
    user_error("{}: expected a file", path);
  }
  size_ = static_cast<uint64_t>(info.st_size);
  if (size_ > 0) {
    void* data = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) {
      const std::string why = reason();
      ::close(fd);
      user_error("{}: cannot map: {}", path, why);
    }
    data_ = static_cast<uint8_t*>(data);
  }
  ::close(fd);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

LineWriter::LineWriter(const std::string& path) : path_(path) {
  fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd_ < 0) user_error("{}: cannot open for writing: {}", path, reason());
  struct stat info {};
  ::fstat(fd_, &info);
  bytes_ = static_cast<uint64_t>(info.st_size);
}

LineWriter::~LineWriter() {
  if (fd_ >= 0) ::close(fd_);
}

void LineWriter::write(std::string_view line) {
  std::string whole(line);
  whole += '\n';
  write_all(fd_, whole, path_);
  bytes_ += whole.size();
}

void LineWriter::truncate_to(uint64_t bytes) {
  if (bytes > bytes_)
    user_error("{}: shorter than its checkpoint says ({} < {} bytes)", path_, bytes_, bytes);
  if (::ftruncate(fd_, static_cast<off_t>(bytes)) != 0)
    user_error("{}: cannot truncate: {}", path_, reason());
  bytes_ = bytes;
}

void LineWriter::sync() {
  if (::fsync(fd_) != 0) user_error("{}: cannot sync: {}", path_, reason());
}

std::string path_beside(const std::string& file, const std::string& path) {
  if (path.empty() || fs::path(path).is_absolute()) return path;
  return (fs::path(file).parent_path() / path).lexically_normal().string();
}

}  // namespace temper
