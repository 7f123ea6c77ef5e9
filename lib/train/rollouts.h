// Where a step's groups come from: the policy, the record's own completions, a file of scored responses, or
// earlier steps.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "train/groups/hints.h"
#include "train/rollout_batch.h"
#include "train/sampling.h"

namespace temper {

class RunOrder;

// The prompts of session.train_records, of which those that data.overlong drops are taken out and told.
// Throws UserError when none is left.
std::vector<std::vector<int64_t>> encode_train_prompts(Session& session);

// What a step needs of its rollout batch.
struct CollectOptions {
  const RunOrder* order = nullptr;  // of the run's train_records
  int64_t groups = 0;               // wanted
  bool store_old_logp = false;      // logp_old of every sampled token is computed by the trainer's own pass
  bool only_differing = false;      // groups whose rewards are all equal are dropped, and others drawn ...
  int64_t max_rounds = 0;  // ... in so many rounds at most; more is an error that names `rounds_field`
  std::string rounds_field;
  int64_t step_tokens = 0;  // see open_groups.h; 0: completions are sampled to their end
  GroupMake make;
  const Hints* hints = nullptr;  // with which groups without a right answer are asked again
  const std::vector<RolloutGroup>* stored = nullptr;  // groups that were not sampled here ...
  int64_t stored_groups = 0;                          // ... and how many of the wanted are of these
  std::vector<RolloutGroup> replayed = {};  // groups of earlier steps that are of the wanted (replay.h)
};

// Samples groups of the task's group_size completions of the records that the order draws, scores them by the
// run's rewards and filters until the wanted ones are there: leftovers of earlier steps first, and what is
// too many becomes the next step's leftovers. prompts: of every record. Stored groups are taken in an order
// of their own. Throws UserError when max_rounds do not suffice. The run's state stays as it is until
// batch.commit().
RolloutBatch collect_rollouts(Session& session, const std::vector<std::vector<int64_t>>& prompts,
                              const CollectOptions& options);

}  // namespace temper
