// What a phase writes of a prompt's answers: a line of data/groups.h, in which the record's own answer is
// kept as "reference". Answers that are written to another column than "completions" are added to the record
// as their words alone, a list or for one answer itself, with "<column>_prompt", as which it was asked, and
// "<column>_rewards" beside them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "data/records.h"
#include "reward/reward.h"
#include "rollout/completion.h"

namespace temper {

inline constexpr const char* kCompletions = "completions";

// The answers to one prompt with their scores; names: of the rewards. No scores: they were not scored.
struct Answered {
  const std::vector<Completion>& completions;
  const ScoredItem* scores = nullptr;
  const std::vector<std::string>& names;
  bool logprobs = false;  // of each token
};

// Throws UserError for a record without a prompt.
Json group_line(const Record& record, const Answered& answered);
// asked: the record as it was asked.
Json column_line(const Record& record, const Record& asked, const std::string& column,
                 const Answered& answered);

}  // namespace temper
