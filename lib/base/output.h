// Output that is all there or not there: files that replace another, folders that are renamed into place, and
// where a path that a user names for output leads.
#pragma once

#include <cstdint>
#include <string>

namespace temper {

// Where writing to a path ends up.
struct OutputTarget {
  std::string path;  // symbolic links followed
  // A character device, a FIFO or a process's open file (/dev/stdout): opened and written to as it is,
  // because a file in its place would take it away. Otherwise a file, there or not yet, that is replaced.
  bool direct = false;
};

// Throws UserError for what takes no file's content: a folder, a socket, a block device, links in a circle.
OutputTarget output_target(const std::string& path);

// Writes beside the target, under a name of this process alone that ends in .tmp; commit() syncs it, renames
// it into place and syncs the folder. Destroyed without a commit, it leaves no trace and the old file
// untouched. What is not a file is written to directly, so that nothing is taken back there. All throw
// UserError (disk full, no permission ...).
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
  std::string path_;
  OutputTarget target_;
  std::string temporary_;  // empty: written to directly
  int fd_ = -1;
  uint64_t bytes_ = 0;
};

// A new folder beside `path`, under a name of this process alone that ends in .tmp, for what is not whole
// yet. Missing parents are made. commit() syncs it and renames it into place, where nothing or an empty
// folder may be, and syncs the parent. Destroyed without a commit, it is removed. All throw UserError.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(const std::string& path);
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::string& path() const { return temporary_; }
  void commit();
  void replace();  // commit() in place of what is there

 private:
  std::string path_, temporary_;  // temporary_ empty: committed
};

}  // namespace temper
