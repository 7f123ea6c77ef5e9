#include "serve/request_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/fields.h"
#include "serve/api_error.h"

namespace temper {

std::string shown_value(const Json& value) {
  if (value.is_object() || value.is_array())
    return value.empty() ? (value.is_object() ? "{}" : "[]") : value.is_object() ? "an object" : "a list";
  std::string text = dump_line(value);
  if (text.size() <= 60) return text;
  size_t cut = 60;
  while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xc0) == 0x80) --cut;  // whole characters
  return text.substr(0, cut) + "...";
}

RequestReader::RequestReader(const Json& json, std::string where) : json_(json), where_(std::move(where)) {
  if (!json.is_object())
    throw bad_request(where_, fmt::format("{}expected an object, found {}",
                                          where_.empty() ? "the request: " : "", shown_value(json)));
}

const Json* RequestReader::find(const char* key) {
  known_.emplace_back(key);
  const auto found = json_.find(key);
  return found == json_.end() || found->is_null() ? nullptr : &*found;
}

const Json& RequestReader::demand(const char* key, const char* expected) {
  const Json* value = find(key);
  if (value == nullptr) throw bad_request(path(key), fmt::format("missing; expected {}", expected));
  return *value;
}

void RequestReader::expected(const char* key, const std::string& what, const Json& found) const {
  throw bad_request(path(key), fmt::format("expected {}, found {}", what, shown_value(found)));
}

bool RequestReader::flag(const char* key, bool fallback) {
  const Json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) expected(key, "true or false", *value);
  return value->get<bool>();
}

std::optional<int64_t> RequestReader::whole(const char* key, int64_t min, int64_t max) {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  const bool fits = value->is_number_unsigned() ? value->get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX)
                                                : value->is_number_integer();
  if (!fits || value->get<int64_t>() < min || value->get<int64_t>() > max)
    expected(key, fmt::format("a whole number from {} to {}", min, max), *value);
  return value->get<int64_t>();
}

std::optional<std::string> RequestReader::text(const char* key) {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) expected(key, "a string", *value);
  return value->get<std::string>();
}

const Json* RequestReader::object(const char* key) {
  const Json* value = find(key);
  if (value != nullptr && !value->is_object()) expected(key, "an object", *value);
  return value;
}

const Json* RequestReader::list(const char* key) {
  const Json* value = find(key);
  if (value != nullptr && !value->is_array()) expected(key, "a list", *value);
  return value;
}

void RequestReader::demand_value(const char* key, const Json& only, const std::string& why) {
  const Json* value = find(key);
  if (value != nullptr && *value != only) throw bad_request(path(key), why);
}

void RequestReader::finish() const {
  for (const auto& [key, value] : json_.items()) {
    if (value.is_null() || std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
    const std::string near = nearest_name(key, known_);
    throw bad_request(path(shown_value(key).size() > 62 ? "a key" : key),
                      near.empty() ? "it is not known here"
                                   : fmt::format("it is not known here; did you mean \"{}\"?", near),
                      "unknown_parameter");
  }
}

}  // namespace temper
