// temper-generate --select: of the answers to each prompt the one that a selector chooses.
#pragma once

#include <string>
#include <vector>

#include "base/log.h"
#include "data/records.h"
#include "eval/select/selected.h"
#include "reward/reward.h"
#include "rollout/completion.h"
#include "scored.h"

namespace temper {

// Leaves of each record's answers, and of what was said of them, the chosen one; where the selector could not
// choose, the first one, which is told. Throws UserError as the selector does.
inline void keep_chosen(const SelectorEntry& entry, const RewardSet* rewards,
                        const std::vector<Record>& records, const RecordEncoder& encoder, uint64_t seed,
                        std::vector<std::vector<Completion>>& completions, ScoredAnswers& scored) {
  std::vector<Ballot> ballots;
  for (size_t i = 0; i < records.size(); ++i) {
    ballots.push_back({encoder.prompt_text(records[i]), &records[i].json, {}});
    for (size_t s = 0; s < completions[i].size(); ++s) {
      Candidate candidate{completions[i][s].text, {}, {}};
      candidate.truncated = completions[i][s].finish == FinishReason::kLength;
      if (rewards != nullptr) {
        candidate.answer = scored.answers[i][s];
        candidate.scores = scores_by_name(rewards->names(), scored.scores[i][s]);
      }
      ballots.back().candidates.push_back(std::move(candidate));
    }
  }
  const std::vector<Choice> choices = entry.options->make()->choose(ballots, {seed, {}});
  size_t without = 0;
  for (size_t i = 0; i < choices.size(); ++i) {
    without += choices[i].empty() ? 1 : 0;
    const size_t kept = choices[i].empty() ? 0 : choices[i].front();
    if (completions[i].empty()) continue;
    completions[i] = {std::move(completions[i][kept])};
    if (rewards != nullptr) scored.scores[i] = {std::move(scored.scores[i][kept])};
  }
  if (without > 0)
    log_warning("--select {}: could not choose for {} of {} prompts, whose first answers are written",
                entry.name, without, choices.size());
}

}  // namespace temper
