// The rollout batch of a step: groups of scored completions, and the ragged numbers that objectives read.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "objective/policy.h"
#include "train/metrics.h"
#include "train/micro_batch.h"

namespace temper {

class Session;

struct Rollout {
  std::vector<int64_t> ids;
  std::vector<float> logp_rollout;  // as the decode engine saw them, temperature only
  std::vector<float> logp_old;      // as the trainer saw them when they were sampled; empty: not computed yet
  std::optional<double> reward;     // unshaped
  std::vector<std::optional<double>> parts;
  std::string text, finish;
};

struct RolloutGroup {
  int64_t draw = 0;  // position in the run's order of records; also the group's label
  int64_t record = 0;
  std::vector<int64_t> prompt;
  std::string prompt_text;
  std::vector<Rollout> rollouts;

  Json to_json() const;
  static RolloutGroup from_json(const Json& json);
};

struct RolloutBatch {
  std::vector<RolloutGroup> groups;
  int64_t generated_groups = 0, kept_groups = 0;  // of this step's generation
  int64_t generated_tokens = 0;
  double seconds = 0;
};

// What a step needs of its rollout batch.
struct CollectOptions {
  int64_t groups = 0;           // wanted
  bool store_old_logp = false;  // log-probs of the policy that sampled, as the trainer computes them
  bool only_differing = false;  // groups whose rewards are all equal are dropped, and others drawn
  int64_t max_rounds = 0;       // of drawing, then; more is an error that names `rounds_field`
  std::string rounds_field;
};

// Generates, scores and filters until the wanted groups are there: leftovers of earlier steps first, and what
// is too many becomes the next step's leftovers. Throws UserError when max_rounds do not suffice. `cursor`
// and `leftovers` are the state's, changed only when everything succeeded.
RolloutBatch collect_rollouts(Session& session, const std::vector<std::vector<int64_t>>& prompts,
                              const CollectOptions& options);

// The step's sequences, and their numbers in the order of the sequences. logp_old and logp_ref are filled by
// the caller.
struct RolloutTensors {
  std::vector<Sequence> sequences;
  std::vector<int64_t> offsets;  // [S + 1] first token of each sequence in the [M] tensors
  objective::PolicyBatch batch;
};
RolloutTensors rollout_tensors(const std::vector<RolloutGroup>& groups);

// The reward of one greedy answer to each group's prompt, repeated for each of its sequences: [S], NaN: null.
at::Tensor greedy_rewards(Session& session, const std::vector<RolloutGroup>& groups);

// What each reward function said of each sequence: [S, F], NaN: null.
at::Tensor reward_parts(const std::vector<RolloutGroup>& groups);

// The numbers of sequences [first, last): a micro-batch's or an optimizer step's share.
objective::PolicyBatch slice(const RolloutTensors& all, int64_t first, int64_t last);

// Means over the batch for the metrics row, and rows for samples.jsonl.
NamedValues rollout_metrics(const Session& session, const RolloutBatch& batch);
std::vector<SampleRow> rollout_samples(const Session& session, const RolloutBatch& batch,
                                       const at::Tensor& advantage);

}  // namespace temper
