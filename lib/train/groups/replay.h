// Replay: groups of earlier steps are learnt from again, beside fresh ones.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fields.h"
#include "run/metrics.h"
#include "run/state.h"
#include "train/rollout_batch.h"

namespace temper {

// Of a token in the buffer, whose groups are text: its id and two log-probs.
inline constexpr int64_t kReplayBytesPerToken = 50;

// A kind of replay: how likely each group of the buffer is to be drawn, and which leaves.
struct ReplayOptions : Fields {
  void fields(FieldVisitor&) override {}
  // What a group that was just sampled is worth; none: the kind does not ask.
  virtual std::optional<double> priority(const RolloutGroup&) const { return std::nullopt; }
  // Of each item the log of a number that its chance of being drawn is proportional to. Items: oldest first.
  virtual std::vector<double> log_weights(const std::vector<ReplayItem>& items) const = 0;
  // The item that leaves when there are too many: the oldest.
  virtual size_t leaves(const std::vector<ReplayItem>&) const { return 0; }
};
const Registry<ReplayOptions>& replay_registry();

// Every group as likely as every other.
struct UniformReplay : ReplayOptions {
  std::vector<double> log_weights(const std::vector<ReplayItem>& items) const override;
};

// p proportional to decay^age, age in steps since the group was sampled.
struct RecencyReplay : ReplayOptions {
  double decay = 0.9;
  void fields(FieldVisitor& v) override;
  std::vector<double> log_weights(const std::vector<ReplayItem>& items) const override;
};

// BTP, prioritised by possibility and pass rate: a completion's
//   P2Value = alpha P + (1 - alpha) pass_rate,
// failed ones included; a group's priority is the mean of its completions'.
//   P          probability under the policy that sampled, at rollout.temperature: "sequence", exp(sum logp);
//              "mean", exp(mean logp), which does not fall with the length
//   pass_rate  the reward, clipped to [0, 1]; null: 0
//   draw       "proportional": p proportional to (priority + 1e-6)^exponent; "rank": to rank^-exponent, rank
//              1 the highest priority, of equal ones the newer first (the two forms of prioritised replay,
//              arXiv 1511.05952)
struct BtpReplay : ReplayOptions {
  double alpha = 0.5, exponent = 1.0;
  std::string probability = "mean", draw = "proportional", evict = "oldest";
  void fields(FieldVisitor& v) override;
  std::optional<double> priority(const RolloutGroup& group) const override;
  std::vector<double> log_weights(const std::vector<ReplayItem>& items) const override;
  size_t leaves(const std::vector<ReplayItem>& items) const override;
};

struct ReplaySection : Fields {
  double share = 0;
  int64_t capacity = 512, from_step = 0;
  std::string kind = "uniform";
  std::unique_ptr<ReplayOptions> options;
  void fields(FieldVisitor& v) override;
  bool on() const { return share > 0; }
  // Of so many prompts a step, those whose groups are replayed when the buffer has as many.
  int64_t replayed_prompts(int64_t prompts) const;
};

// Softmax: the chance of each item to be drawn first.
std::vector<double> draw_probabilities(const std::vector<double>& log_weights);

// `count` different items, or all where there are fewer, in the order in which they are drawn: each by its
// weight among those that are left. Draw i takes RandomStream(seed, "replay", step, i).
std::vector<size_t> draw_items(std::vector<double> log_weights, int64_t count, uint64_t seed, uint64_t step);

// The groups that a step of so many prompts learns from again: none before from_step, nor from an empty
// buffer. They keep the log-probs of the policy that sampled them. Throws UserError for a broken state.
std::vector<RolloutGroup> draw_replay(const ReplaySection& section, const RunState& state, uint64_t seed,
                                      int64_t prompts);

// Puts a step's fresh groups into the buffer; what is more than capacity leaves.
void add_to_replay(const ReplaySection& section, RunState& state, const std::vector<RolloutGroup>& groups);

// For the metrics row: replay_size, groups of the buffer; replayed_groups, those of the step; of these
// replay_age, mean in steps, replay_reward, and replay_priority where the kind has one.
NamedValues replay_metrics(const ReplaySection& section, const RunState& state,
                           const std::vector<RolloutGroup>& groups);

}  // namespace temper
