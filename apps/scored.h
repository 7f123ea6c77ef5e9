// Answers with their tokens and scores, as every task reads them back (data/groups.h).
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "data/groups.h"
#include "data/records.h"
#include "eval/answer_line.h"
#include "eval/evaluate.h"
#include "reward/reward.h"
#include "rollout/engine.h"

namespace temper {

struct ScoreFields : Fields {
  std::vector<RewardEntry> entries;
  void fields(FieldVisitor& v) override { v.list("rewards", entries, "the rewards"); }
};

// The rewards that a command line names: a kind, or an object as in a config's "rewards". Throws UserError.
inline std::vector<RewardEntry> read_rewards(const std::vector<std::string>& texts,
                                             const std::string& option) {
  Json list = Json::array();
  for (const std::string& text : texts) {
    list.push_back(!text.empty() && text[0] == '{' ? parse_json(text, option) : Json{{"kind", text}});
  }
  ScoreFields rewards;
  read_fields(rewards, {{"rewards", list}}, option, ".");
  for (const RewardEntry& entry : rewards.entries) {
    if (entry.reference_samples() > 0)
      user_error(
          "{}: a transform of {} compares with answers of a run's initial model, which this command does not "
          "sample; give their rewards as a column (\"reference\": \"column\"), or leave it out",
          option, entry.kind);
  }
  return std::move(rewards.entries);
}

// A completion as an answer of its own with its tokens: answer_line() with log-probs, "prompt_ids",
// "completion_ids", "temperature", and of a conversation "turns", the policy's as [begin, end) of
// completion_ids, whose log-probs alone are given.
inline Json line_with_tokens(const Record& record, const GenerateRequest& request, const Completion& c,
                             double temperature) {
  Json line = answer_line(record, c, true);
  if (c.turns.size() > 1) {
    Json& turns = line["turns"] = Json::array();
    for (const Turn& turn : c.turns) turns.push_back({turn.begin, turn.end});
  }
  line["prompt_ids"] = request.prompt;
  line["completion_ids"] = c.ids;
  line["temperature"] = temperature;
  return line;
}

// The answers to each record, scored where there are rewards.
inline std::vector<std::vector<Json>> answer_lines(RewardSet* rewards, const std::vector<Record>& records,
                                                   const std::vector<GenerateRequest>& requests,
                                                   const std::vector<std::vector<Completion>>& completions,
                                                   const RecordEncoder& encoder, double temperature) {
  std::vector<std::vector<Json>> out(records.size());
  std::vector<RewardItem> items;
  for (size_t i = 0; i < records.size(); ++i) {
    const std::string prompt = rewards == nullptr ? "" : encoder.prompt_text(records[i]);
    for (const Completion& c : completions[i]) {
      out[i].push_back(line_with_tokens(records[i], requests[i], c, temperature));
      items.push_back(reward_item(prompt, &records[i].json, c));
    }
  }
  if (rewards == nullptr) return out;
  const std::vector<ScoredItem> scores = rewards->score(items);
  auto score = scores.begin();
  for (auto& answers : out) {
    for (Json& line : answers) write_scores(line, rewards->names(), *score++);
  }
  return out;
}

}  // namespace temper
