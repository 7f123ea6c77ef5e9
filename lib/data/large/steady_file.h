// A file that must stay as it is while it is read.
#pragma once

#include <cstdint>
#include <string>

namespace temper {

// By which a file is taken for unchanged without reading it.
struct FileStamp {
  uint64_t bytes = 0, inode = 0, device = 0;
  int64_t changed_ns = 0;  // of its content
  bool operator==(const FileStamp&) const = default;
};
// Throws UserError when there is no such file.
FileStamp stamp_of(const std::string& path);

// Read piece by piece rather than mapped: its pages do not count as this process's memory, and a file that
// becomes shorter is an error with its name, where a map would end the process. Threads may read at once.
class SteadyFile {
 public:
  explicit SteadyFile(const std::string& path);  // throws UserError when it cannot be opened
  ~SteadyFile();
  SteadyFile(const SteadyFile&) = delete;
  SteadyFile& operator=(const SteadyFile&) = delete;

  const std::string& path() const { return path_; }
  const FileStamp& stamp() const { return stamp_; }
  uint64_t size() const { return stamp_.bytes; }
  // So many bytes from `at` on, fewer at the end of the file. Throws UserError when the file is no longer as
  // it was opened.
  std::string read(uint64_t at, uint64_t bytes) const;
  void check() const;  // throws as read() does

 private:
  std::string path_;
  int fd_ = -1;
  FileStamp stamp_;
};

}  // namespace temper
