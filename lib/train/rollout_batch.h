// The rollout batch of a step: groups of scored completions, and the ragged numbers that objectives read.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "data/order/order.h"
#include "data/records.h"
#include "objective/policy/policy.h"
#include "reward/reward.h"
#include "rollout/completion.h"
#include "run/metrics.h"
#include "run/state.h"
#include "train/micro_batch.h"

namespace temper {

class Session;

inline constexpr double kNull = std::numeric_limits<double>::quiet_NaN();  // a reward that is not there

struct Rollout {
  std::vector<int64_t> ids;  // of a conversation, those of both sides
  // The policy's turns; empty: all ids are the policy's. What an environment wrote is read and never learnt:
  // all numbers per token are those of the policy's tokens alone.
  std::vector<Turn> turns;
  // As the decode engine saw them, temperature only. NaN: the token was given, not drawn (a demonstration, a
  // forced opening); settle_given_tokens() puts logp_old there.
  std::vector<float> logp_rollout;
  std::vector<float> logp_old;   // of the policy that sampled, as the trainer sees them; empty: not yet known
  std::optional<double> reward;  // unshaped
  std::vector<Score> parts;  // by reward function, with what each said; empty: the reward came with the data
  std::string text, finish;
  bool demonstration = false;  // the record's own completion, not the policy's
  // Which of rollout.openings it was made to begin with, or how it goes on from a prefix (prefix.h); -1:
  // none.
  int64_t opening = -1;
  bool hinted = false;          // sampled with the record's hint (hints.h)
  std::vector<int64_t> prompt;  // what it stands behind, where that is not the group's; empty: the group's
  int64_t older = 0;  // of its tokens, so many were drawn in earlier steps, by the weights of that time
  std::vector<int16_t> routes;  // see Completion, of the prompt that it stands behind; empty: not known
  std::optional<Conversation> conversation;
  std::vector<std::optional<double>> counted;  // the parts behind their transforms
  bool open() const { return finish == finish_name(FinishReason::kOpen); }
  int64_t tokens() const;            // the policy's
  std::vector<bool> target() const;  // which of the ids they are; empty: all
};

struct RolloutGroup {
  int64_t draw = 0;  // position in the run's order of records; also the group's label
  int64_t record = 0;
  std::vector<int64_t> prompt;
  std::string prompt_text;
  int64_t prefix = 0;  // so many of the prompt's last tokens are the policy's own (prefix.h)
  std::vector<Rollout> rollouts;
  std::optional<double> reference_reward;  // mean reward of the initial model's answers to the prompt
  bool stored = false;                     // from offline.files
  int64_t age = 0;                         // of a replayed group: steps since it was sampled
  std::shared_ptr<const Record> asked;     // until it is sampled, what a conversation goes on from

  bool open() const;  // some of its completions have not ended
  bool fresh() const { return !stored && age == 0; }
  Json to_json(bool with_routes = false) const;
  static RolloutGroup from_json(const Json& json);
};

// "demonstration", "stored": what stands as `finish` of a completion that the engine did not write.
inline constexpr const char* kDemonstration = "demonstration";
inline constexpr const char* kStored = "stored";

struct RolloutBatch {
  std::vector<RolloutGroup> groups;
  int64_t generated_groups = 0, kept_groups = 0;  // of this step's generation
  int64_t generated_tokens = 0;                   // and those of stored and replayed responses
  bool hints = false;                             // groups may be asked again with a hint
  // Of all that made the batch, and the part of it in which scores were waited for: what is scored while
  // other completions are decoded costs no time of its own, and is not in it.
  double seconds = 0, scoring_seconds = 0;
  // What the run's state becomes when all generation of the step is done. A signal during it saves the state
  // as it was before the step, so nothing of this may be in there yet.
  int64_t cursor = 0, stored_cursor = 0;
  Json leftovers = Json::array(), open = Json::array();
  std::map<int64_t, double> reference_rewards;
  std::map<int64_t, double> lengths;  // of this step's records alone
  std::vector<Observation> observed;  // of all groups that were scored in this step, for RunOrder::observe()
  void commit(RunState& state) const;
};

// The step's sequences, and their numbers in the order of the sequences. logp_old and logp_ref are filled by
// the caller where a group does not know them.
struct RolloutTensors {
  std::vector<Sequence> sequences;
  std::vector<std::vector<bool>> targets;  // of each sequence; empty: all of it
  std::vector<int64_t> offsets;            // [S + 1] first token of each sequence in the [M] tensors
  std::vector<int64_t> groups;             // [G + 1] first sequence of each group
  objective::PolicyBatch batch;
};
RolloutTensors rollout_tensors(const std::vector<RolloutGroup>& groups);

// Puts logp_old, where it is known, in place of the log-probs of tokens that the engine did not draw.
void settle_given_tokens(std::vector<RolloutGroup>& groups);

// What counts of each reward function's score of each sequence, behind its transforms: [S, F], NaN: null.
at::Tensor reward_parts(const std::vector<RolloutGroup>& groups);

// 1 for the sequences that stay in the loss: not truncated (when mask_truncated), and with keep_one_each the
// first of a group's best and the first of its worst, if they differ. [S]
at::Tensor include_mask(const objective::PolicyAlgorithm& algorithm, const std::vector<RolloutGroup>& groups);

// The numbers of sequences [first, last): a micro-batch's or an optimizer step's share.
objective::PolicyBatch slice(const RolloutTensors& all, int64_t first, int64_t last);

// Means over the batch for the metrics row, and rows for samples.jsonl; of both, replayed groups are no part.
NamedValues rollout_metrics(const Session& session, const RolloutBatch& batch);
std::vector<SampleRow> rollout_samples(const Session& session, const RolloutBatch& batch,
                                       const at::Tensor& advantage);

}  // namespace temper
