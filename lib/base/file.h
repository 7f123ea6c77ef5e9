// Files: whole reads, memory maps, and writes that are all there or not there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace temper {

namespace fs = std::filesystem;

// The whole file. Throws UserError when it cannot be read or is larger than `max_bytes`.
std::string read_file(const std::string& path, uint64_t max_bytes = 4ULL << 30);

// A FileStream (output.h) of all of it: readers see the old file or the new one; links are followed, and what
// is not a file is written to. Throws UserError (disk full, no permission ...) with the old file untouched.
void write_file_atomic(const std::string& path, std::string_view content);

// fsync of a file or a folder. Throws UserError.
void sync_path(const std::string& path);

// A read-only memory map of a file. Throws UserError when it cannot be opened.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  const uint8_t* data() const { return data_; }
  uint64_t size() const { return size_; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  uint8_t* data_ = nullptr;
  uint64_t size_ = 0;
};

// Appends lines to a file that is created when missing; each line is written with one call and flushed.
// truncate_to() cuts the file back to `bytes`, which is how a resumed run drops lines written after its
// checkpoint.
class LineWriter {
 public:
  explicit LineWriter(const std::string& path);
  ~LineWriter();
  LineWriter(const LineWriter&) = delete;
  LineWriter& operator=(const LineWriter&) = delete;
  void write(std::string_view line);  // adds the line end
  uint64_t bytes() const { return bytes_; }
  void truncate_to(uint64_t bytes);
  void sync();

 private:
  std::string path_;
  int fd_ = -1;
  uint64_t bytes_ = 0;
};

// `path` taken relative to the folder of `file` unless it is absolute.
std::string path_beside(const std::string& file, const std::string& path);

}  // namespace temper
