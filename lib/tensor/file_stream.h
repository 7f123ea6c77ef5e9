// A file that is written piece by piece and is all there or not there.
#pragma once

#include <cstdint>
#include <string>

namespace temper {

// Writes to `path` + ".tmp"; commit() syncs it, renames it into place and syncs the folder. Destroyed without
// a commit, it leaves no trace and the old file untouched. All throw UserError (disk full, no permission
// ...).
class FileStream {
 public:
  explicit FileStream(const std::string& path);
  ~FileStream();
  FileStream(const FileStream&) = delete;
  FileStream& operator=(const FileStream&) = delete;
  void write(const void* data, uint64_t bytes);
  void write_zeros(uint64_t bytes);
  uint64_t bytes() const { return bytes_; }  // written so far
  void commit();

 private:
  std::string path_, temporary_;
  int fd_ = -1;
  uint64_t bytes_ = 0;
};

}  // namespace temper
