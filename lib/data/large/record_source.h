// The records of one file that is too large to be kept in memory: found by their place and parsed on use.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "data/formats/format.h"
#include "data/large/data_cache.h"
#include "data/records.h"

namespace temper {

class RecordSource {
 public:
  virtual ~RecordSource() = default;
  virtual size_t size() const = 0;
  // A pure function of i, from any thread. Throws UserError when the file has changed since it was opened.
  virtual Record at(size_t i) const = 0;
  // Throws as at() does.
  virtual void check() const = 0;
  virtual const std::string& file() const = 0;
  // A fingerprint of the file's content and of how its records are read.
  virtual const std::string& key() const = 0;
};

// What files and folders take, as JSONL: one that is compressed or has columns counts as four times its size.
// What cannot be looked at counts nothing: who reads it says so.
uint64_t data_bytes(const std::vector<std::string>& paths);

// The file, or of a folder of datasets' save_to_disk its files, in the kinds of records.h, as read_data()
// reads it and with the same errors. The first time all records are read and checked; what that found stands
// in the cache. JSONL is read where it is; the records of anything else are copied into the cache.
std::vector<std::shared_ptr<const RecordSource>> open_source(const std::string& path,
                                                             const RecordFormat& format,
                                                             const DataCache& cache);

}  // namespace temper
