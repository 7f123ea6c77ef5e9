// What is known of single tokens and turns of rollouts, as objectives take it: the steps that a reward
// scored, the outcomes that it told, the turns of conversations.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "objective/policy/policy.h"
#include "train/rollout_batch.h"

namespace temper {

class Session;

// The rewards that the algorithm's needs take their numbers from, as indices of session.rewards->names().
struct CreditSources {
  size_t steps = 0;     // read with needs.process
  size_t outcomes = 0;  // read with needs.outcome_score
};
// Throws UserError when no reward of the run gives what the algorithm needs.
CreditSources find_credit_sources(const Session& session, const objective::PolicyAlgorithm& algorithm);

// The steps of all responses. A step ends at the token that completes its text with the separator behind it,
// the last step at the response's last token, so that the end token belongs to it. The policy's tokens are
// decoded one by one for that; whatever tokens the scoring model reads, the text is the same. Of a
// conversation the last turn is what was scored. A response whose score is null is not known. Throws
// UserError for a record that lacks process.level_column where it is asked.
objective::ProcessScores process_scores(const Session& session, const objective::ProcessOptions& options,
                                        size_t reward, const std::vector<RolloutGroup>& groups);

// [S] int64: the place of each response's outcome among the reward's outcomes(), -1: not told.
at::Tensor outcomes_of(const Session& session, size_t reward, const std::vector<RolloutGroup>& groups);

// The turns of all responses; one without a conversation is a turn. A turn that the environment gave no
// reward for has 0; where it gave none for any turn, the response's own stands on the last.
objective::Turns turns_of(const std::vector<RolloutGroup>& groups);

// For the metrics row: step_score and step_reward, means over steps of the score and of what refine makes of
// it; steps, mean over responses; steps_unknown, share of responses that were not scored.
NamedValues process_metrics(const objective::ProcessOptions& options, const objective::ProcessScores& scores);

}  // namespace temper
