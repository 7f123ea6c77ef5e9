// What passes over all records make of each of them, kept in the cache: made once by several threads, read
// when it is drawn.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/large/record_set.h"
#include "data/records.h"
#include "data/special_tokens.h"

namespace temper {

// How records become tokens, and a fingerprint of all that it depends on: tokenizer, template, settings.
struct Encoding {
  const Tokenizer& tokenizer;
  const RecordEncoder& encoder;
  EncodeSettings settings;
  std::string key;
};

// What a record became: bytes, and flags that are in memory.
struct EncodedRecord {
  std::string bytes;
  uint8_t flags = 0;
};

// Of each record of large Records.
class EncodedRecords {
 public:
  // make: a pure function of a record, called by several threads; its first error in the order of the records
  // is thrown. kind: names it, with `key` for what it depends on beside the records.
  EncodedRecords(const Records& records, const std::string& kind, const std::string& key,
                 const DataCache& cache, const std::function<EncodedRecord(const Record&)>& make);

  uint8_t flags(const Records::Place& place) const { return flags_[place.source][place.record]; }
  std::string bytes(const Records::Place& place) const;

 private:
  std::vector<std::shared_ptr<const BlobFile>> files_;  // of each source
  std::vector<std::string> flags_;
};

// encoder.remarks() of large ones.
std::vector<std::string> large_remarks(const Records& records, const Encoding& encoding,
                                       const DataCache& cache);

// Token ids, and examples, as bytes and back.
std::string ids_bytes(const std::vector<int64_t>& ids);
std::vector<int64_t> ids_of(std::string_view bytes);
std::string example_bytes(const Example& example);
Example example_of(std::string_view bytes);
// Of an answer; one that was dropped is empty.
void put_answer(std::string& out, const Answer& answer);
Answer take_answer(std::string_view in, size_t& at);

}  // namespace temper
