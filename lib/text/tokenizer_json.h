// Reading tokenizer.json: the vocabulary and the merges into flat lists, all else as JSON.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"

namespace temper {

struct TokenizerJson {
  Json parts;  // the file without model.vocab and model.merges
  std::vector<std::pair<std::string, int64_t>> vocab;
  std::vector<std::pair<std::string, std::string>> merges;  // best first
  bool has_vocab = false, has_merges = false;
};

// Throws UserError with line and column for broken JSON, wrong types, ids below 0 or above 2^31, and
// malformed merges.
TokenizerJson read_tokenizer_json(const std::string& text, const std::string& where);

// A JSON object with its place in the file; the getters throw UserError that names the place and the key.
class JsonPart {
 public:
  JsonPart(const Json& value, std::string where);
  const std::string& where() const { return where_; }
  const Json& json() const { return value_; }

  bool has(const char* key) const;  // there and not null
  std::string string(const char* key) const;
  std::string string_or(const char* key, const std::string& fallback) const;
  bool boolean(const char* key) const;
  bool boolean_or(const char* key, bool fallback) const;
  int64_t integer(const char* key) const;  // >= 0
  char32_t character(const char* key) const;
  JsonPart part(const char* key) const;
  std::vector<JsonPart> parts(const char* key) const;  // an array of objects

 private:
  const Json& at(const char* key) const;
  [[noreturn]] void wrong(const char* key, const char* expected) const;
  const Json& value_;
  std::string where_;
};

}  // namespace temper
