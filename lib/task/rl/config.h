// The sections of a config that reinforcement learning has.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "env/environment.h"
#include "objective/policy/policy.h"
#include "train/groups/hints.h"
#include "train/groups/prefix.h"
#include "train/groups/replay.h"
#include "train/task.h"

namespace temper {

// Scored responses from files, beside or in place of sampled ones.
struct OfflineSection : Fields {
  std::vector<std::string> files;
  double share = 1.0;
  std::string behaviour;
  void fields(FieldVisitor& v) override;
  bool on() const { return !files.empty(); }
  bool replaces_sampling() const { return on() && share == 1.0; }
  // Of so many prompts a step, those whose responses are stored ones.
  int64_t stored_prompts(int64_t prompts) const;
};

struct RlRollout : RolloutSection {
  int64_t prompts_per_step = 16;
  int64_t demonstrations = 0;
  std::vector<std::string> openings;
  PrefixSection prefix;
  int64_t reference_samples = 16;
  int64_t step_tokens = 0;
  bool diversity = false;
  std::string routing = "compare";
  void fields(FieldVisitor& v) override;
};

struct RlTask : Task {
  std::string environment_kind;
  std::unique_ptr<EnvironmentOptions> environment_options;
  OfflineSection offline;
  ReplaySection replay;
  HintSection hint;
  RlRollout rollout;
  std::string algorithm_name = "grpo";
  std::unique_ptr<objective::PolicyAlgorithm> algorithm;
  int64_t updates_per_rollout = 1;  // passes over a rollout batch

  void fields(FieldVisitor& v) override;
  void train_fields(FieldVisitor& v) override;
  StepUnit step_unit() const override {
    return {"prompts", rollout.prompts_per_step, "rollout.prompts_per_step"};
  }
  bool shares_prompts() const override { return true; }
  bool needs_train_data() const override { return !offline.replaces_sampling(); }
  Observes observes() const override {
    return offline.replaces_sampling() ? Observes::kNothing : Observes::kRewards;
  }
  std::string rewards_help() const override { return "what completions are scored by"; }
  bool scores_samples() const override { return true; }
  const EnvironmentOptions* environment() const override { return environment_options.get(); }
  void resolve(RunConfig& config) override;
  const RolloutSection& sampling() const override { return rollout; }
  void check_run(const RunConfig& config, std::vector<std::string>& problems) const override;
  int64_t updates(const RunConfig& config) const override;
  int64_t records_of_step(const RunConfig&) const override { return rollout.prompts_per_step; }
  Heads heads(const RunConfig& config, const Records* records, const Tokenizer* tokenizer) const override;
  double policy_temperature() const override { return rollout.temperature; }
  bool replays_routes() const override { return rollout.routing == "replay"; }
  TaskMemory memory(const RunConfig& config, const PlanShapes& shapes) const override;
  std::string method() const override;
  std::optional<FirstConfig> first_config() const override;
  void train(Session& session) const override;  // rl.cc
  std::vector<Advice> advise(const MetricsRow& row) const override;
};

}  // namespace temper
