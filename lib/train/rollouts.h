// Where a step's groups come from: the policy, the record's own completions, or a file of scored responses.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "data/records.h"
#include "train/rollout_batch.h"

namespace temper {

// The prompts of session.train_records, of which those that data.overlong drops are taken out and told.
// Throws UserError when none is left.
std::vector<std::vector<int64_t>> encode_train_prompts(Session& session);

// Groups of the draws [first, first + count) of the run's order: rollout.group_size completions of each
// prompt, of them rollout.demonstrations the record's own, the others sampled and, with rollout.openings,
// made to begin with each of these in equal shares; scored by the run's rewards. prompts: of every record.
std::vector<RolloutGroup> sample_groups(Session& session, const std::vector<std::vector<int64_t>>& prompts,
                                        const RecordOrder& order, int64_t first, int64_t count);

// What a step needs of its rollout batch.
struct CollectOptions {
  int64_t groups = 0;           // wanted
  bool store_old_logp = false;  // logp_old of every sampled token is computed by the trainer's own pass
  bool only_differing = false;  // groups whose rewards are all equal are dropped, and others drawn ...
  int64_t max_rounds = 0;       // ... in so many rounds at most; more is an error that names `rounds_field`
  std::string rounds_field;
};

// Samples and filters until the wanted groups are there: leftovers of earlier steps first, and what is too
// many becomes the next step's leftovers. With `stored` groups (stored_rollouts.h), offline.share of the
// wanted are taken from these, in their own order. Throws UserError when max_rounds do not suffice. The run's
// state stays as it is until batch.commit().
RolloutBatch collect_rollouts(Session& session, const std::vector<std::vector<int64_t>>& prompts,
                              const std::vector<RolloutGroup>& stored, const CollectOptions& options);

// The reward of one greedy answer to each group's prompt, repeated for each of its sequences: [S], NaN: null.
at::Tensor greedy_rewards(Session& session, const std::vector<RolloutGroup>& groups);

// Fills reference_reward of each group: the record's "reference_reward" if it has that column, else the mean
// over rollout.reference_samples answers of the reference model with the last of rollout.openings, computed
// once for a record and kept in the run's state.
void reference_rewards(Session& session, RolloutBatch& batch);

}  // namespace temper
