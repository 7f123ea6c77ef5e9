#include "reward/sandbox_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <deque>
#include <filesystem>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/log.h"

namespace temper {
namespace {

constexpr int kDeepest = 32;  // folders in folders; each open one costs a descriptor

// Calls each(name, is_folder) for what lies in a folder, links not followed; false when it cannot be read.
// Takes the descriptor.
template <class Each>
bool list(int fd, const Each& each) {
  DIR* const folder = fd < 0 ? nullptr : ::fdopendir(fd);
  if (folder == nullptr) {
    if (fd >= 0) ::close(fd);
    return false;
  }
  while (const dirent* entry = ::readdir(folder)) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    struct stat info {};
    if (::fstatat(::dirfd(folder), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (!each(::dirfd(folder), entry->d_name, info)) break;
  }
  ::closedir(folder);
  return true;
}

int open_folder(int at, const char* name) {
  return ::openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

// False when there is more than is left.
bool measure_folder(int fd, int depth, int64_t& bytes, int64_t& entries) {
  bool fits = true;
  list(fd, [&](int at, const char* name, const struct stat& info) {
    bytes -= info.st_blocks * 512;
    --entries;
    fits = bytes >= 0 && entries >= 0 && depth < kDeepest;
    if (fits && S_ISDIR(info.st_mode))
      fits = measure_folder(open_folder(at, name), depth + 1, bytes, entries);
    return fits;
  });
  return fits;
}

// A tree may be deeper than any path or stack: folders inside folders are moved up to the top, under numbers,
// and wait there for their turn.
void empty(int top) {
  uint64_t next = 0;
  std::deque<std::string> waiting;
  const auto clear = [&](int fd) {
    std::vector<std::string> folders;  // moved after the reading, which would else meet them again
    const int again = fd < 0 ? -1 : ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
    list(fd, [&](int at, const char* name, const struct stat& info) {
      if (S_ISDIR(info.st_mode))
        folders.emplace_back(name);
      else
        ::unlinkat(at, name, 0);
      return true;
    });
    for (const std::string& name : folders) {
      ::fchmodat(again, name.c_str(), 0700, 0);
      std::string moved;
      do moved = fmt::format(".temper-{}", next++);
      while (::faccessat(top, moved.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0);
      if (::renameat(again, name.c_str(), top, moved.c_str()) == 0) waiting.push_back(moved);
    }
    if (again >= 0) ::close(again);
  };
  clear(open_folder(top, "."));
  for (; !waiting.empty(); waiting.pop_front()) {
    clear(open_folder(top, waiting.front().c_str()));
    ::unlinkat(top, waiting.front().c_str(), AT_REMOVEDIR);
  }
}

}  // namespace

std::string SandboxFolder::above() {
  std::error_code failed;
  const auto path = std::filesystem::temp_directory_path(failed);
  return failed ? "/tmp" : path.string();
}

SandboxFolder::SandboxFolder() : path_(above() + "/temper-code-XXXXXX") {
  if (::mkdtemp(path_.data()) == nullptr)
    user_error("cannot make a folder for a program: {}: {}; set TMPDIR to a folder that can be written to",
               path_, std::strerror(errno));
  fd_ = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd_ < 0) {
    const int error = errno;
    ::rmdir(path_.c_str());
    user_error("cannot open the folder of a program: {}: {}", path_, std::strerror(error));
  }
}

SandboxFolder::~SandboxFolder() {
  ::fchmod(fd_, 0700);
  empty(fd_);
  ::close(fd_);
  if (::rmdir(path_.c_str()) != 0 && errno != ENOENT)
    log_warning("{}: cannot be removed: {}", path_, std::strerror(errno));
}

void SandboxFolder::write(const std::string& name, const std::string& text) const {
  const int fd = ::openat(fd_, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  size_t done = 0;
  while (fd >= 0 && done < text.size()) {
    const ssize_t n = ::write(fd, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) break;
    done += static_cast<size_t>(n);
  }
  const int error = errno;
  if (fd >= 0) {
    ::fchmod(fd, 0644);  // whatever the umask
    ::close(fd);
  }
  if (fd < 0 || done < text.size())
    user_error("cannot write the program's file {}/{}: {}", path_, name, std::strerror(error));
}

void SandboxFolder::give_to(uid_t user) const {
  if (::fchown(fd_, user, user) != 0)
    user_error("cannot give {} to user {}: {}", path_, user, std::strerror(errno));
}

bool SandboxFolder::exceeds(int64_t bytes, int64_t entries) const {
  return !measure_folder(open_folder(fd_, "."), 0, bytes, entries);
}

}  // namespace temper
