// The keys of a config.json, read with their types and bounds; each mistake is one line.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/json.h"

namespace temper {

// Far beyond any model, and small enough that no product of sizes overflows.
inline constexpr int64_t kMaxWidth = 1 << 20, kMaxLayers = 1 << 12, kMaxHeads = 1 << 12,
                         kMaxHeadDim = 1 << 12, kMaxPositions = int64_t{1} << 40;

constexpr int64_t kMaxTokenId = 1 << 24;

class ConfigKeys {
 public:
  // json must outlive this.
  ConfigKeys(const Json& json, std::string where) : json_(json), where_(std::move(where)) {
    if (!json.is_object()) user_error("{}: expected an object, found {}", where_, shown(json));
  }

  // Null counts as absent, as it does in transformers.
  const Json* get(const char* key) const {
    const auto it = json_.find(key);
    return it == json_.end() || it->is_null() ? nullptr : &*it;
  }
  bool has(const char* key) const { return json_.contains(key); }

  int64_t integer(const char* key, int64_t low, int64_t high, std::optional<int64_t> missing = {}) const {
    const Json* j = get(key);
    if (j == nullptr) {
      if (missing) return *missing;
      user_error("{}: {}: missing; expected an integer from {} to {}", where_, key, low, high);
    }
    if (!j->is_number_integer() ||
        (j->is_number_unsigned() && j->get<uint64_t>() > static_cast<uint64_t>(high)) ||
        j->get<int64_t>() < low || j->get<int64_t>() > high) {
      wrong(key, fmt::format("an integer from {} to {}", low, high), *j);
    }
    return j->get<int64_t>();
  }
  double number(const char* key, double low, double high, std::optional<double> missing = {}) const {
    const Json* j = get(key);
    if (j == nullptr) {
      if (missing) return *missing;
      user_error("{}: {}: missing; expected a number from {} to {}", where_, key, low, high);
    }
    if (!j->is_number() || !(j->get<double>() >= low && j->get<double>() <= high)) {
      wrong(key, fmt::format("a number from {} to {}", low, high), *j);
    }
    return j->get<double>();
  }
  bool boolean(const char* key, bool missing) const {
    const Json* j = get(key);
    if (j == nullptr) return missing;
    if (!j->is_boolean()) wrong(key, "true or false", *j);
    return j->get<bool>();
  }
  std::optional<std::string> string(const char* key) const {
    const Json* j = get(key);
    if (j == nullptr) return std::nullopt;
    if (!j->is_string()) wrong(key, "a string", *j);
    return j->get<std::string>();
  }
  // A token id; negative ones are an old spelling of "none".
  std::optional<int64_t> token(const char* key, std::optional<int64_t> missing) const {
    if (!has(key)) return missing;
    const Json* j = get(key);
    if (j == nullptr) return std::nullopt;
    if (!j->is_number_integer() || *j > kMaxTokenId) wrong(key, "a token id", *j);
    return *j < 0 ? std::nullopt : std::optional<int64_t>(j->get<int64_t>());
  }
  [[noreturn]] void wrong(const char* key, const std::string& expected, const Json& found) const {
    user_error("{}: {}: expected {}, found {}", where_, key, expected, shown(found));
  }
  // Numbers from `low` to `high`, as many as said.
  std::vector<double> numbers(const char* key, size_t count, double low, double high) const {
    const Json* j = get(key);
    const std::string expected = fmt::format("{} numbers from {} to {}", count, low, high);
    if (j == nullptr) user_error("{}: {}: missing; expected {}", where_, key, expected);
    if (!j->is_array() || j->size() != count) wrong(key, expected, *j);
    std::vector<double> out;
    for (const Json& x : *j) {
      if (!x.is_number() || !(x.get<double>() >= low && x.get<double>() <= high)) wrong(key, expected, x);
      out.push_back(x.get<double>());
    }
    return out;
  }
  const std::string& where() const { return where_; }

 private:
  static std::string shown(const Json& value) {
    std::string text = dump_line(value);
    if (text.size() > 60) text.replace(57, std::string::npos, "...");
    return text;
  }
  const Json& json_;
  std::string where_;
};

}  // namespace temper
