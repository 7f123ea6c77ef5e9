// The sections of a config that preference optimisation has.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/fields.h"
#include "data/select/pairs.h"
#include "objective/preference/preference.h"
#include "train/task.h"

namespace temper {

// The reference model of a preference run.
struct ReferenceSection : Fields {
  std::string cache = "auto";
  int64_t sync_every = 0;
  double sync_share = 0.6;
  void fields(FieldVisitor& v) override;
};

// Where the pairs come from.
struct PairsSection : Fields {
  std::string from = "stored";
  int64_t max_rounds = 10;                           // online
  int64_t stages = 3;                                // ratings
  std::string form = "practical", separator = "\n";  // steps
  int64_t attempts = 5;
  PairRule rule;  // groups
  void fields(FieldVisitor& v) override;
  int64_t count_stages() const { return from == "ratings" ? stages : 1; }
};

struct PreferenceTask : Task {
  PairsSection pairs;
  RolloutSection rollout;  // online
  std::string algorithm_name = "dpo";
  std::unique_ptr<objective::PreferenceAlgorithm> algorithm;
  ReferenceSection reference;

  void fields(FieldVisitor& v) override;
  StepUnit step_unit() const override { return {"pairs or labelled answers"}; }
  bool shares_prompts() const override { return true; }
  bool draws_records() const override { return samples(); }
  std::string rewards_help() const override { return samples() ? "what completions are scored by" : ""; }
  bool scores_samples() const override { return samples(); }
  const RolloutSection& sampling() const override { return rollout; }
  void check_run(const RunConfig& config, std::vector<std::string>& problems) const override;
  TaskMemory memory(const RunConfig& config, const PlanShapes& shapes) const override;
  std::string method() const override;
  std::optional<FirstConfig> first_config() const override;
  void train(Session& session) const override;  // preference.cc

  // Whether completions are sampled during training and scored by the run's rewards.
  bool samples() const { return pairs.from == "online"; }
  // Whether the reference's log-probs of the stored answers are computed once, before training. "auto": where
  // the reference is a second model in memory, which then need not stay (adapters are switched off instead).
  bool caches_reference(bool adapter_switches_off) const;
  // Whether the reference follows the policy, and so has weights of its own in the checkpoints.
  bool moves_reference() const;

 private:
  std::string cannot_cache() const;
  void check_two_policies(const RunConfig& config, std::vector<std::string>& problems) const;
};

}  // namespace temper
