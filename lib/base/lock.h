// A lock that no two processes hold, and that ends with its process however that ends.
#pragma once

#include <string>

namespace temper {

class FileLock {
 public:
  // Locks the file `path`, which is made when missing and stays, and writes into it who holds it. Throws
  // UserError that names the holder (process, host, since when) and `what` it uses. Where the file system has
  // no locks: a warning, and none is held.
  FileLock(const std::string& path, const std::string& what);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int fd_ = -1;
};

}  // namespace temper
