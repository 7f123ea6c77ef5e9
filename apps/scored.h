// Scored responses, a line each, as reinforcement learning reads them back (train/stored_rollouts.h).
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "base/json.h"
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

// One line a completion: the record answered with it, "reward" (null: could not tell), "rewards" by name,
// "reward_transformed", "reward_texts" and "reward_outcomes" by name where a reward says such, "logprobs"
// (whole vocabulary, at `temperature`), "prompt_ids", "completion_ids", "temperature", "finish". Of a
// conversation: "turns", the policy's as [begin, end) of completion_ids, whose log-probs alone are given, and
// "conversation", what was said behind the prompt.
inline std::string scored_lines(RewardSet& rewards, const std::vector<Record>& records,
                                const std::vector<GenerateRequest>& requests,
                                const std::vector<std::vector<Completion>>& completions,
                                const RecordEncoder& encoder, double temperature) {
  std::vector<RewardItem> items;
  for (size_t i = 0; i < records.size(); ++i) {
    const std::string prompt = encoder.prompt_text(records[i]);
    for (const Completion& c : completions[i]) {
      items.push_back(reward_item(prompt, &records[i].json, c));
    }
  }
  const std::vector<ScoredItem> scores = rewards.score(items);
  std::string out;
  auto score = scores.begin();
  for (size_t i = 0; i < records.size(); ++i) {
    for (const Completion& c : completions[i]) {
      Json line = answered(records[i], c.text, c.finish != FinishReason::kLength);
      line["reward"] = number_or_null(score->total);
      write_parts(line, rewards.names(), *score);
      Json turns = Json::array(), logprobs = Json::array();
      for (const Turn& turn : c.turns) {
        turns.push_back({turn.begin, turn.end});
        for (int64_t t = turn.begin; t < turn.end; ++t) logprobs.push_back(c.logp_full[t]);
      }
      line["logprobs"] = std::move(logprobs);
      if (c.turns.size() > 1) line["turns"] = std::move(turns);
      if (c.conversation) line["conversation"] = c.conversation->messages;
      line["prompt_ids"] = requests[i].prompt;
      line["completion_ids"] = c.ids;
      line["temperature"] = temperature;
      line["finish"] = finish_name(c.finish);
      out += dump_line(line) + "\n";
      ++score;
    }
  }
  return out;
}

}  // namespace temper
