// Answers with their tokens and scores, as every task reads them back (data/groups.h).
#pragma once

#include <optional>
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

// What rewards say of the answers to each record, and which answers they read; both [record][sample].
struct ScoredAnswers {
  std::vector<std::vector<ScoredItem>> scores;  // empty: there are no rewards
  std::vector<std::vector<std::optional<std::string>>> answers;
};

inline ScoredAnswers score_answers(RewardSet* rewards, const std::vector<Record>& records,
                                   const std::vector<std::vector<Completion>>& completions,
                                   const RecordEncoder& encoder) {
  ScoredAnswers out;
  if (rewards == nullptr) return out;
  std::vector<RewardItem> items;
  for (size_t i = 0; i < records.size(); ++i) {
    const std::string prompt = encoder.prompt_text(records[i]);
    for (const Completion& c : completions[i]) items.push_back(reward_item(prompt, &records[i].json, c));
  }
  const std::vector<ScoredItem> scores = rewards->score(items);
  auto score = scores.begin();
  auto item = items.begin();
  for (const auto& of_record : completions) {
    out.scores.emplace_back(score, score + static_cast<std::ptrdiff_t>(of_record.size()));
    out.answers.emplace_back();
    for (size_t s = 0; s < of_record.size(); ++s) out.answers.back().push_back(rewards->answer(*item++));
    score += static_cast<std::ptrdiff_t>(of_record.size());
  }
  return out;
}

// The answers to each record as lines with their tokens and scores.
inline std::vector<std::vector<Json>> answer_lines(const RewardSet* rewards, const ScoredAnswers& scored,
                                                   const std::vector<Record>& records,
                                                   const std::vector<GenerateRequest>& requests,
                                                   const std::vector<std::vector<Completion>>& completions,
                                                   double temperature) {
  std::vector<std::vector<Json>> out(records.size());
  for (size_t i = 0; i < records.size(); ++i) {
    for (size_t s = 0; s < completions[i].size(); ++s) {
      Json line = line_with_tokens(records[i], requests[i], completions[i][s], temperature);
      if (rewards != nullptr) write_scores(line, rewards->names(), scored.scores[i][s]);
      out[i].push_back(std::move(line));
    }
  }
  return out;
}

}  // namespace temper
