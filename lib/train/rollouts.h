// Where a step's groups come from: the policy, the record's own completions, a file of scored responses, or
// earlier steps.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/large/encoded.h"
#include "train/groups/hints.h"
#include "train/rollout_batch.h"
#include "train/sampling.h"

namespace temper {

class RunOrder;

// The prompts of session.train_records: in memory, or of large data as bytes in the cache.
class TrainPrompts {
 public:
  TrainPrompts() = default;  // none
  // Those that data.overlong drops are taken out of the records and told. Throws UserError when none is left.
  explicit TrainPrompts(Session& session);
  std::vector<int64_t> operator[](int64_t record) const;

 private:
  void read_large(Session& session);
  std::vector<std::vector<int64_t>> held_;
  std::shared_ptr<const EncodedRecords> stored_;  // null: in memory
  const Records* records_ = nullptr;              // the session's
};

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
RolloutBatch collect_rollouts(Session& session, const TrainPrompts& prompts, const CollectOptions& options);

}  // namespace temper
