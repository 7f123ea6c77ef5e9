#include "data/source/read.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/file.h"
#include "base/formats.h"
#include "data/columns/columns.h"
#include "data/records.h"
#include "data/source/csv.h"
#include "data/source/decompress.h"
#include "data/source/json_text.h"

namespace temper {
namespace {

// ".csv" of "a.csv" and of "a.csv.gz".
std::string extension_inside(const std::string& file) {
  const fs::path path(file);
  const std::string end = path.extension().string();
  return end == ".gz" || end == ".zst" ? path.stem().extension().string() : end;
}

bool is_table(const std::string& file) {
  const std::string extension = extension_inside(file);
  return extension == ".csv" || extension == ".tsv";
}

bool begins_array(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  return begin != std::string_view::npos && text[begin] == '[';
}

void text_records(std::string_view text, const std::string& file, const TakeRecord& take) {
  refuse_other_formats(text, file);
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  if (is_table(file)) return csv_records(text, file, extension_inside(file) == ".csv" ? ',' : '\t', take);
  if (begins_array(text)) return json_array_records(text, file, take);
  jsonl_records(text, file, take);
}

constexpr int64_t kForget = 10000;    // records after which pages are given back
constexpr uint64_t kHeld = 64 << 20;  // bytes from which on what is unpacked goes to a file

// Pages of a file's map, which come back when they are looked at again.
void forget_pages(std::string_view map) {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = (reinterpret_cast<uintptr_t>(map.data()) + page - 1) / page * page;
  const auto end = reinterpret_cast<uintptr_t>(map.data()) + map.size();
  if (end > begin) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

// The text of a compressed file: in memory, or where there is much and a folder for it, in a file there that
// nobody else sees.
class Unpacked {
 public:
  explicit Unpacked(std::string folder) : folder_(std::move(folder)) {}
  ~Unpacked() {
    if (!map_.empty()) ::munmap(const_cast<char*>(map_.data()), map_.size());
    if (fd_ >= 0) ::close(fd_);
  }
  Unpacked(const Unpacked&) = delete;
  Unpacked& operator=(const Unpacked&) = delete;

  void add(std::string_view piece) {
    held_ += piece;
    if (folder_.empty() || held_.size() < kHeld) return;
    if (fd_ < 0) fd_ = ::open(folder_.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd_ < 0)
      folder_.clear();
    else
      flush();
  }
  std::string_view text() {
    if (fd_ < 0) return held_;
    flush();
    void* at = ::mmap(nullptr, written_, PROT_READ, MAP_PRIVATE, fd_, 0);
    if (at == MAP_FAILED) user_error("{}: cannot map: {}", folder_, std::strerror(errno));
    map_ = {static_cast<const char*>(at), written_};
    return map_;
  }
  void forget() const { forget_pages(map_); }

 private:
  void flush() {
    for (size_t at = 0; at < held_.size();) {
      const ssize_t n = ::write(fd_, held_.data() + at, held_.size() - at);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) user_error("{}: cannot write what a file unpacks to: {}", folder_, std::strerror(errno));
      at += static_cast<size_t>(n);
    }
    written_ += held_.size();
    held_.clear();
  }
  std::string folder_, held_;
  std::string_view map_;
  size_t written_ = 0;
  int fd_ = -1;
};

}  // namespace

bool is_plain_jsonl(std::string_view begin, const std::string& file) {
  if (columns_kind(begin) != nullptr || is_compressed(begin)) return false;
  refuse_other_formats(begin, file);
  if (begin.starts_with(kByteOrderMark)) begin.remove_prefix(kByteOrderMark.size());
  return !is_table(file) && !begins_array(begin);
}

void each_record(const std::string& file, const std::function<void(Record)>& take, const std::string& spill) {
  const MappedFile map(file);
  const std::string_view bytes(reinterpret_cast<const char*>(map.data()), map.size());
  const auto forget = [&] {
    if (!spill.empty()) forget_pages(bytes);
  };
  Unpacked unpacked(spill);
  int64_t count = 0;
  const auto counted = [&](Record record) {
    ++count;
    take(std::move(record));
    if (count % kForget != 0) return;
    forget();
    unpacked.forget();
  };
  if (columns_kind(bytes) != nullptr) {
    read_columns(bytes, file, [&](Json row) { counted({std::move(row), file, count + 1}); });
  } else {
    const bool packed = decompress(bytes, file, [&](std::string_view piece) {
      unpacked.add(piece);
      forget();
    });
    text_records(packed ? unpacked.text() : bytes, file, counted);
  }
  if (count == 0) user_error("{}: no records in this file", file);
}

std::vector<Record> read_records(const std::vector<std::string>& paths) {
  std::vector<Record> records;
  for (const std::string& path : paths) {
    std::error_code none;
    for (const std::string& file : fs::is_directory(path, none) ? saved_files(path) : std::vector{path})
      each_record(file, [&](Record record) { records.push_back(std::move(record)); });
  }
  return records;
}

}  // namespace temper
