#include "base/output.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/file.h"

namespace temper {
namespace {

constexpr int kMaxLinks = 40;  // as the kernel's own

std::string folder_of(const std::string& path) {
  const std::string folder = fs::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

// A symbolic link of /proc stands for a process's open file, which its text does not name.
bool is_open_file(const std::string& link) {
  struct statfs info {};
  return ::statfs(folder_of(link).c_str(), &info) == 0 && info.f_type == PROC_SUPER_MAGIC;
}

// The end of the chain of symbolic links at `path`, or the first that stands for an open file; mode 0:
// nothing is there.
struct Node {
  std::string path;
  mode_t mode = 0;
};

Node follow(const std::string& path) {
  Node node{path};
  for (int links = 0; links <= kMaxLinks; ++links) {
    struct stat info {};
    if (::lstat(node.path.c_str(), &info) != 0) {
      node.mode = 0;
      if (errno == ENOENT) return node;
      user_error("{}: cannot be written: {}", path, std::strerror(errno));
    }
    node.mode = info.st_mode;
    if (!S_ISLNK(node.mode) || is_open_file(node.path)) return node;
    std::error_code error;
    const fs::path to = fs::read_symlink(node.path, error);
    if (error) user_error("{}: cannot read the link: {}", node.path, error.message());
    node.path = (fs::path(folder_of(node.path)) / to).string();  // `to` alone when it is absolute
  }
  user_error("{}: more than {} symbolic links, one after another", path, kMaxLinks);
}

// Calls make(NAME), which says whether it made it, with names beside `path` that carry this process's number
// until one is made; one that is there already is a leftover of an earlier process, or another thread's.
template <class Make>
std::string make_beside(const std::string& path, const std::string& shown, const Make& make) {
  for (int i = 0;; ++i) {
    const std::string name = i == 0 ? fmt::format("{}.{}.tmp", path, ::getpid())
                                    : fmt::format("{}.{}-{}.tmp", path, ::getpid(), i);
    if (make(name.c_str())) return name;
    if (errno != EEXIST) user_error("{}: cannot create: {}", shown, std::strerror(errno));
  }
}

}  // namespace

OutputTarget output_target(const std::string& path) {
  if (path.empty()) user_error("expected a file to write, found an empty name");
  const Node node = follow(path);
  mode_t mode = node.mode;
  if (S_ISLNK(mode)) {
    struct stat info {};
    if (::stat(node.path.c_str(), &info) != 0)
      user_error("{}: cannot be written: {}", path, std::strerror(errno));
    mode = info.st_mode;
    if (S_ISREG(mode)) return {node.path, true};
  }
  if (mode == 0 || S_ISREG(mode)) {
    if (node.path.ends_with('/'))
      user_error("{}: expected a file to write, found the name of a folder", path);
    return {node.path, false};
  }
  if (S_ISCHR(mode) || S_ISFIFO(mode)) return {node.path, true};
  user_error("{}: expected a file to write, found {}", path,
             S_ISDIR(mode)    ? "a folder"
             : S_ISSOCK(mode) ? "a socket"
                              : "a block device");
}

FileStream::FileStream(const std::string& path) : path_(path), target_(output_target(path)) {
  if (target_.direct) {
    fd_ = ::open(target_.path.c_str(), O_WRONLY | O_APPEND | O_NOCTTY | O_CLOEXEC);
    if (fd_ < 0) user_error("{}: cannot open for writing: {}", path_, std::strerror(errno));
    return;
  }
  temporary_ = make_beside(target_.path, path_, [&](const char* name) {
    fd_ = ::open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    return fd_ >= 0;
  });
}

FileStream::~FileStream() {
  if (fd_ < 0) return;
  ::close(fd_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
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
  if (!temporary_.empty()) {
    if (::fsync(fd_) != 0) user_error("{}: cannot sync: {}", path_, std::strerror(errno));
    if (::rename(temporary_.c_str(), target_.path.c_str()) != 0)
      user_error("{}: cannot rename into place: {}", path_, std::strerror(errno));
  }
  ::close(fd_);
  fd_ = -1;
  if (!temporary_.empty()) sync_path(folder_of(target_.path));
}

TemporaryFolder::TemporaryFolder(const std::string& path) {
  std::string name = path;
  while (name.size() > 1 && name.back() == '/') name.pop_back();
  path_ = follow(name).path;
  std::error_code error;
  fs::create_directories(folder_of(path_), error);
  if (error) user_error("{}: cannot create the folder: {}", folder_of(path_), error.message());
  temporary_ = make_beside(path_, path_, [](const char* beside) { return ::mkdir(beside, 0777) == 0; });
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  if (!temporary_.empty()) fs::remove_all(temporary_, ignored);
}

void TemporaryFolder::commit() {
  sync_path(temporary_);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0)
    user_error("{}: cannot rename into place: {}", path_, std::strerror(errno));
  temporary_.clear();
  sync_path(folder_of(path_));
}

void TemporaryFolder::replace() {
  std::error_code error;
  fs::remove_all(path_, error);
  if (error) user_error("{}: cannot be replaced: {}", path_, error.message());
  commit();
}

}  // namespace temper
