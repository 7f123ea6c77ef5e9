// A file of the data cache: blobs that are found by their number.
//   the blobs, each with a check of 4 bytes (CRC-32) behind it
//   the table: where each begins, and where the last one ends (uint64)
//   the note: JSON
//   the footer: magic "TMPRDATA", version, blobs, bytes of the note (uint64 each), the key and the
//   fingerprint of table, note and counts (32 characters each)
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/output.h"
#include "data/large/steady_file.h"

namespace temper {

// Counts up when what stands in any of these files changes: files of another version are made anew.
constexpr uint64_t kDataCacheVersion = 1;

// A file of the cache that cannot be written or is not whole: reason to make it anew, never to stop.
class CacheProblem : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class BlobFile {
 public:
  // Throws CacheProblem: not there, cut short, damaged, of another version, or of another key.
  BlobFile(const std::string& path, const std::string& key);

  size_t size() const { return table_.size() - 1; }
  // Throws UserError for one that is damaged.
  std::string blob(size_t i) const;
  const Json& note() const { return note_; }
  uint64_t bytes() const;  // of all

 private:
  friend class BlobWriter;
  BlobFile() = default;
  std::unique_ptr<SteadyFile> file_;  // null: held_
  std::string held_;
  std::vector<uint64_t> table_;
  Json note_;
};

class BlobWriter {
 public:
  // path empty: it stays in memory. Throws CacheProblem, as all below, when the file cannot be written; then
  // there is none.
  BlobWriter(std::string path, std::string key);
  void add(std::string_view blob);
  // Syncs and renames it into place, and opens it.
  std::unique_ptr<BlobFile> commit(const Json& note);

 private:
  void flush();
  std::string path_, key_, waiting_;
  std::unique_ptr<FileStream> out_;  // null: waiting_ keeps all
  std::vector<uint64_t> table_ = {0};
};

// Numbers in 7 bits a byte, the low ones first.
void put_number(std::string& out, uint64_t number);
// Moves `at` behind it; bug() at the end of the text.
uint64_t take_number(std::string_view in, size_t& at);

}  // namespace temper
