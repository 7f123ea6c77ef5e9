// Rewards of answers that are sampled beside the rollout batch.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "train/rollout_batch.h"

namespace temper {

struct RlRollout;

// The reward of one greedy answer to each group's prompt, repeated for each of its sequences: [S], NaN: null.
at::Tensor greedy_rewards(Session& session, const std::vector<RolloutGroup>& groups);

// Fills reference_reward of each group: the record's "reference_reward" if it has that column, else the mean
// over `rollout`.reference_samples answers of the reference model with the last of its openings, computed
// once for a record and kept in the run's state.
void reference_rewards(Session& session, const RlRollout& rollout, RolloutBatch& batch);

}  // namespace temper
