// Part of json_schema.cc: one schema inside another, read.
#pragma once

#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "reward/pattern.h"
#include "reward/text/json_schema.h"

namespace temper {

enum JsonType : unsigned {
  kJsonNull = 1,
  kJsonBoolean = 2,
  kJsonObject = 4,
  kJsonArray = 8,
  kJsonNumber = 16,
  kJsonString = 32,
  kJsonInteger = 64
};

// Other schemas are indices of JsonSchema::nodes_.
struct JsonSchema::Node {
  static constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();
  struct Count {
    uint64_t least = 0, most = kNoLimit;
    bool holds(uint64_t n) const { return n >= least && n <= most; }
  };

  bool nothing_fits = false;  // the schema `false`
  std::optional<unsigned> types;
  std::optional<std::vector<nlohmann::json>> values;  // enum
  std::optional<nlohmann::json> constant;
  std::optional<size_t> ref;
  std::vector<size_t> all_of, any_of, one_of;
  std::optional<size_t> not_this;

  std::map<std::string, size_t> properties;
  std::vector<std::string> required;
  std::optional<size_t> additional;
  Count property_count;

  std::vector<size_t> prefix_items;
  std::optional<size_t> items;
  Count item_count;
  bool unique_items = false;

  Count length;  // characters
  std::unique_ptr<Pattern> pattern;

  std::optional<nlohmann::json> minimum, maximum, above, below, multiple_of;

  // The schemas that are held beside the same value as this one.
  std::vector<size_t> beside() const {
    std::vector<size_t> out;
    for (const auto* list : {&all_of, &any_of, &one_of}) out.insert(out.end(), list->begin(), list->end());
    if (ref) out.push_back(*ref);
    if (not_this) out.push_back(*not_this);
    return out;
  }
};

}  // namespace temper
