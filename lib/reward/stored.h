// Rewards of answers that are stored: no model writes them.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/json.h"
#include "data/records.h"
#include "reward/reward.h"
#include "text/tokenizer.h"

namespace temper {

struct StoredScoring {
  std::string segments =
      "";  // "sentence" or "line": each of these on its own (data/segments.h); "": whole answers
  // Counts tokens where a line has no "completion_ids"; null: rewards that count tokens are an error then.
  const Tokenizer* tokenizer = nullptr;
  bool counts_tokens = false;  // some of the rewards do
};
// Whether a reward reads how long a completion is, or its ids: cosine, overlong, and repetition of tokens.
bool counts_tokens(const RewardEntry& entry);

// The records' lines with what the rewards say of them, all scored together:
//   {"prompt", "completion"}, {"messages"}  "reward" (null: could not tell), "rewards" by name, and where a
//   reward says
//                                           such "reward_transformed", "reward_texts", "reward_outcomes"
//   {"prompt", "completions"}               "rewards", "reward_parts" and so on, see data/groups.h
//   {"text"}                                as an answer to nothing
// In segments: "segments": [{"text", "reward"}, ...] in their place; in a group a list for each completion.
// What an older scoring left in these columns goes. The prompt that rewards see is a chat's words, a line
// each. Throws UserError for records without answers, and what the rewards throw. on_wait: as
// RewardSet::score.
std::vector<Json> score_stored(RewardSet& rewards, const std::vector<Record>& records,
                               const StoredScoring& how, const std::function<void()>& on_wait = {});

}  // namespace temper
