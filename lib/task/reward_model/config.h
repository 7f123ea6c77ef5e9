// The sections of a config that reward models have.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/groups.h"
#include "data/select/pairs.h"
#include "objective/reward/algorithm.h"
#include "reward/score.h"
#include "train/task.h"

namespace temper {

struct RewardModelTask : Task {
  std::string algorithm_name = "bt";
  std::unique_ptr<objective::RewardAlgorithm> algorithm;
  ScoreOptions score;
  PairRule pairs;                        // of groups of answers, for losses that compare two
  double label_threshold = kGoodReward;  // ... and for those that need right and wrong

  void fields(FieldVisitor& v) override;
  void data_fields(FieldVisitor& v) override;
  StepUnit step_unit() const override { return {"records"}; }
  bool shares_prompts() const override { return true; }
  bool draws_records() const override { return false; }
  std::string rewards_help() const override { return ""; }
  // Those of the model's folder, else one for each attribute that the records rate, else one. Throws
  // UserError.
  Heads heads(const RunConfig& config, const Records* records, const Tokenizer* tokenizer) const override;
  void check_run(const RunConfig& config, std::vector<std::string>& problems) const override;
  std::string method() const override;
  std::optional<FirstConfig> first_config() const override;
  void train(Session& session) const override;  // reward_model.cc
};

}  // namespace temper
