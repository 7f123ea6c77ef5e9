// The keys of a request's JSON, each asked for once: what was not asked for is not known.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/json.h"

namespace temper {

// Everything throws ApiError (400) that names the key. null counts as absent.
class RequestReader {
 public:
  // where: in front of the keys, such as "messages[0]"; "": the request itself. json outlives this.
  RequestReader(const Json& json, std::string where);

  const Json* find(const char* key);  // null: it is not there
  const Json& demand(const char* key, const char* expected);
  bool flag(const char* key, bool fallback);
  std::optional<int64_t> whole(const char* key, int64_t min, int64_t max);
  std::optional<std::string> text(const char* key);
  const Json* object(const char* key);
  const Json* list(const char* key);
  void ignore(const char* key) { find(key); }
  // It may be there with this value alone (or as null).
  void demand_value(const char* key, const Json& only, const std::string& why);
  // A key that was not asked for: unknown, with the nearest known one.
  void finish() const;
  std::string path(const std::string& key) const { return where_.empty() ? key : where_ + "." + key; }
  [[noreturn]] void expected(const char* key, const std::string& what, const Json& found) const;

 private:
  const Json& json_;
  std::string where_;
  std::vector<std::string> known_;
};

// A value for messages: short.
std::string shown_value(const Json& value);

}  // namespace temper
