// Rewards as a config has them, and what they score.
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/fields.h"
#include "base/json.h"
#include "reward/reward.h"

namespace temper {

struct RewardConfig : Fields {
  std::vector<RewardEntry> rewards;
  void fields(FieldVisitor& v) override { v.list("rewards", rewards, "the rewards"); }
};

inline std::vector<RewardEntry> entries(const std::string& text) {
  RewardConfig config;
  read_fields(config, parse_json("{\"rewards\": " + text + "}", "c"), "c", "");
  return std::move(config.rewards);
}

// What is wrong with the entries; "": nothing.
inline std::string problems(const std::string& text) {
  try {
    entries(text);
  } catch (const UserError& e) {
    return e.what();
  }
  return "";
}

inline RewardItem item_of(const std::string& completion, const Json* columns = nullptr) {
  RewardItem item;
  item.completion = item.raw_completion = completion;
  item.columns = columns;
  return item;
}

// Items of their text alone.
inline std::vector<RewardItem> items(const std::vector<std::string>& completions) {
  std::vector<RewardItem> out;
  for (const std::string& text : completions) {
    out.emplace_back();
    out.back().completion = text;
  }
  return out;
}

inline std::string shown(const std::vector<Score>& scores) {
  std::string out;
  for (const Score& score : scores)
    out += (out.empty() ? "" : " ") + (score.value ? fmt::format("{}", *score.value) : "null");
  return out;
}

inline double since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace temper
