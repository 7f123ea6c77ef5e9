// Inside the reading of schemas: places, keywords, and schemas that hold at once.
#pragma once

#include <fmt/format.h>

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/json.h"

namespace temper {

// A schema with the place where it stands, for messages.
class SchemaPlaces {
 public:
  SchemaPlaces(const Json& root, std::string where) : root_(root), where_(std::move(where)) {}
  template <class... Args>
  [[noreturn]] void refuse(const std::string& at, fmt::format_string<Args...> format, Args&&... args) const {
    user_error("{}: {}: {}", where_, at.empty() ? "/" : at, fmt::format(format, std::forward<Args>(args)...));
  }
  [[noreturn]] void expected(const std::string& at, const char* what, const Json& found) const {
    refuse(at, "expected {}, found {}", what, dump_line(found).substr(0, 60));
  }
  // What a $ref leads to. Throws UserError.
  const Json& resolve(const Json& ref, const std::string& at) const;
  // The keywords of an object that is a schema are known and well-formed.
  void check(const Json& schema, const std::string& at) const;
  const std::string& where() const { return where_; }

 private:
  const Json& root_;
  std::string where_;
};

// A schema without combinations ($ref, allOf, anyOf, oneOf) and notes; const is an enum of one.
using FlatSchema = Json;

// Schemas of which one must hold, that together say what `schema` says. Empty: nothing fits. Throws
// UserError.
std::vector<FlatSchema> flatten(const SchemaPlaces& places, const Json& schema, const std::string& at,
                                int depth = 0);

// The schema without notes.
Json without_notes(const Json& schema);

// Types that a flat schema allows: as said, or those that its keywords are about, or all.
std::vector<std::string> types_of(const FlatSchema& schema);

}  // namespace temper
