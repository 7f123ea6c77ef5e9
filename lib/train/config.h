// The whole config of a run. DESIGN 8. Each section lists its fields once; see base/fields.h.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adapter/adapter.h"
#include "base/fields.h"
#include "data/records.h"
#include "model/config.h"
#include "objective/policy/policy.h"
#include "objective/preference/preference.h"
#include "objective/reward/algorithm.h"
#include "objective/supervised/supervised.h"
#include "optim/optimizer.h"
#include "optim/schedule.h"
#include "reward/reward.h"
#include "reward/score.h"
#include "rollout/sampler.h"
#include "task/distill/config.h"
#include "run/health.h"
#include "task/sft/inputs.h"
#include "task/preference/config.h"

namespace temper {

// Shapes of a model that starts from random weights, with a tokenizer trained on the run's own data or taken
// from a folder.
struct InitSection : Fields {
  std::string family = "llama";
  std::string tokenizer;  // a folder; empty: trained, with `vocab` tokens
  int64_t vocab = 0, hidden = 256, intermediate = 704, layers = 6, heads = 4, kv_heads = 2,
          max_positions = 1024;
  bool tied = true;
  double rope_theta = 10000.0, norm_eps = 1e-5;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  bool given() const { return vocab > 0 || !tokenizer.empty(); }
  ModelConfig model_config() const;
};

struct ModelSection : Fields {
  std::string path;  // a Hugging Face folder; empty: init
  std::string dtype = "auto";
  std::string quantise = "none";      // "none", "int8", "nf4"
  bool double_quantisation = true;    // nf4
  std::string checkpointing = "off";  // "off", "all", or "every_2" ... "every_8"
  InitSection init;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  int64_t checkpoint_every() const;  // 0: off
  QuantFormat quant_format() const;
};

// rl: scored responses from files, beside or in place of sampled ones.
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

struct DataSection : Fields {
  std::vector<std::string> train, eval;
  bool needs_train = true;  // not a field: offline runs have other data
  std::string chat_template = "auto";
  std::string prompt_column = "prompt";      // the column that holds the prompt
  bool chat_prompts = false;                 // a string prompt becomes a user's message
  std::string prefix;                        // text before all, such as a control token
  std::string reward_column = "reward";      // sft: of losses that read rewards
  std::vector<double> weights, end_weights;  // sft: shares of the files of `train`; see draws.h
  std::string task;                          // which of these a task has
  int64_t max_tokens = 1024;
  std::string overlong = "drop", targets = "auto", order = "shuffle", special_tokens = "auto";
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  EncodeSettings encoding() const;
  // Puts prompts where the record formats expect them. Throws UserError for a record without the column.
  void adapt(std::vector<Record>& records) const;
};

struct RolloutSection : SamplingOptions {
  int64_t prompts_per_step = 16, group_size = 8, max_batch = 64;
  int64_t demonstrations = 0;
  std::vector<std::string> openings;
  int64_t reference_samples = 16;
  // Which of these a task has; a preference step samples for train.batch_size prompts, a distillation one
  // answer to each.
  std::string task;
  void fields(FieldVisitor& v) override;
};

struct TrainSection : Fields {
  int64_t steps = 100;
  // An optimizer step's examples (sft), pairs or answers (preference), records (reward_model), prompts (rl).
  int64_t batch_size = 16;
  std::optional<int64_t> given_batch;  // batch_size as given; left out, it is 16, or prompts_per_step (rl)
  int64_t prompts_per_step = 16;       // not a field: the rollout's
  int64_t micro_batch_tokens = 4096;
  int64_t updates_per_rollout = 1;  // rl: passes over a rollout batch
  bool share_prompts = true;
  std::string task;  // which of these a task has
  void fields(FieldVisitor& v) override;
};

struct EvalSection : Fields {
  int64_t every = 0, samples = 1, limit = 0, max_new_tokens = 0;
  double temperature = 0.0;
  void fields(FieldVisitor& v) override;
};

struct CheckpointSection : Fields {
  int64_t every = 50, keep = 2;
  bool best = false;
  void fields(FieldVisitor& v) override;
};

struct RunConfig : Fields {
  std::string task;
  int64_t seed = 1, threads = 0;
  std::string device = "cpu";
  ModelSection model;
  std::string adapter_kind = "full";
  std::unique_ptr<AdapterOptions> adapter;
  DataSection data;
  RolloutSection rollout;
  OfflineSection offline;
  std::vector<RewardEntry> rewards;
  std::string combine = "sum";
  std::string algorithm_name = "grpo";
  std::unique_ptr<objective::PolicyAlgorithm> algorithm;
  std::string preference_name = "dpo";
  std::unique_ptr<objective::PreferenceAlgorithm> preference;  // "algorithm" of a preference run
  PairsSection pairs;                                          // of a preference run
  ReferenceSection reference;                                  // of a preference run
  DistillConfig distill;  // "algorithm", "teachers" ... of a distillation
  std::string reward_model_name = "bt";
  std::unique_ptr<objective::RewardAlgorithm> reward_model;  // "algorithm" of a reward_model run
  ScoreOptions score;                                        // of a reward_model run
  std::string loss_name = "nll";
  std::unique_ptr<objective::SupervisedOptions> loss;
  std::vector<InputEntry> inputs;  // sft
  std::string optimizer_name = "adamw";
  std::unique_ptr<OptimizerOptions> optimizer;
  std::string schedule_name = "cosine";
  std::unique_ptr<ScheduleOptions> schedule;
  TrainSection train;
  EvalSection eval;
  CheckpointSection checkpoint;
  HealthOptions health;
  int64_t samples_logged = 16;  // rows of samples.jsonl a step
  std::string run;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  int64_t updates() const;  // optimizer updates of the whole run

 private:
  void check_rl(std::vector<std::string>& problems) const;
};

// The config of a file with its layers and --set overrides; threads, "auto" dtype and batch size resolved.
// Throws UserError with every problem.
void load_run_config(RunConfig& config, const std::string& path, const std::vector<std::string>& sets);

}  // namespace temper
