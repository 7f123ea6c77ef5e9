// Records of lines of JSON.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "data/records.h"

namespace temper {

inline Record record(const std::string& json) {
  return {Json::parse(json), "f.jsonl", 3};
}

inline std::vector<Record> records(const std::vector<std::string>& lines) {
  std::vector<Record> out;
  for (const std::string& line : lines)
    out.push_back({Json::parse(line), "f.jsonl", static_cast<int64_t>(out.size()) + 1});
  return out;
}

}  // namespace temper
