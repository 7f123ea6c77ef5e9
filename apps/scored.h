// Answers with their tokens and scores, as every task reads them back (data/groups.h).
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "data/groups.h"
#include "data/records.h"
#include "eval/evaluate.h"
#include "reward/reward.h"
#include "rollout/engine.h"

namespace temper {

struct ScoreFields : Fields {
  std::vector<RewardEntry> entries;
  void fields(FieldVisitor& v) override { v.list("rewards", entries, "the rewards"); }
};

inline Json number_or_null(const std::optional<double>& x) {
  return x ? Json(*x) : Json(nullptr);
}

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

// A completion as an answer of its own: the record answered with it, "logprobs" (whole vocabulary, at
// `temperature`), "prompt_ids", "completion_ids", "temperature", "finish". Of a conversation: "turns", the
// policy's as [begin, end) of completion_ids, whose log-probs alone are given, and "conversation", what was
// said behind the prompt.
inline Json answer_line(const Record& record, const GenerateRequest& request, const Completion& c,
                        double temperature) {
  Json line = answered(record, c.text, c.finish != FinishReason::kLength);
  Json turns = Json::array(), logprobs = Json::array();
  for (const Turn& turn : c.turns) {
    turns.push_back({turn.begin, turn.end});
    for (int64_t t = turn.begin; t < turn.end; ++t) logprobs.push_back(c.logp_full[t]);
  }
  line["logprobs"] = std::move(logprobs);
  if (c.turns.size() > 1) line["turns"] = std::move(turns);
  if (c.conversation) line["conversation"] = c.conversation->messages;
  line["prompt_ids"] = request.prompt;
  line["completion_ids"] = c.ids;
  line["temperature"] = temperature;
  line["finish"] = finish_name(c.finish);
  return line;
}

// What rewards say of answers, into their lines: "reward" (null: could not tell), "rewards" by name,
// "reward_transformed", "reward_texts" and "reward_outcomes" by name where a reward says such.
inline void add_scores(Json& line, const RewardSet& rewards, const ScoredItem& score) {
  line["reward"] = number_or_null(score.total);
  write_parts(line, rewards.names(), score);
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
      out[i].push_back(answer_line(records[i], requests[i], c, temperature));
      items.push_back(reward_item(prompt, &records[i].json, c));
    }
  }
  if (rewards == nullptr) return out;
  const std::vector<ScoredItem> scores = rewards->score(items);
  auto score = scores.begin();
  for (auto& answers : out) {
    for (Json& line : answers) add_scores(line, *rewards, *score++);
  }
  return out;
}

}  // namespace temper
