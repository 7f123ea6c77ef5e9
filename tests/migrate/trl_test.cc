#include "migrate/trl.h"

#include "base/error.h"
#include "migrate/migrate_told.h"
#include "test.h"

using namespace temper;

TEST_CASE("an SFT file of TRL") {
  const Migrated m = migrate_text(R"(model_name_or_path: Qwen/Qwen3-0.6B
dataset_name: trl-lib/Capybara
learning_rate: 2.0e-4
num_train_epochs: 1
per_device_train_batch_size: 2
gradient_accumulation_steps: 8
lr_scheduler_type: cosine
warmup_ratio: 0.1
gradient_checkpointing: true
bf16: true
use_peft: true
lora_r: 32
lora_alpha: 16
lora_target_modules: all-linear
load_in_4bit: true
max_length: 2048
packing: true
assistant_only_loss: true
test_split_size: 0.1
eval_strategy: steps
eval_steps: 50
save_steps: 100
save_total_limit: 3
output_dir: runs/qwen
deepspeed: ds.json
hub_token: secret
report_to: wandb
lerning_rate: 1
)");
  CHECK(m.source == "TRL (sft)");
  CHECK(same(m.config, Json::parse(R"({"task": "sft",
    "model": {"path": "Qwen/Qwen3-0.6B", "dtype": "bf16", "checkpointing": "all", "quantise": "nf4",
              "double_quantisation": false},
    "adapter": {"kind": "lora", "rank": 32, "alpha": 16, "dropout": 0.05, "targets": "all-linear"},
    "data": {"train": ["trl-lib/Capybara"], "eval_share": 0.1, "targets": "assistant", "max_tokens": 2048,
             "overlong": "truncate"},
    "loss": {"name": "nll"},
    "optimizer": {"name": "adamw", "lr": 2e-4, "weight_decay": 0, "clip_norm": 1, "beta1": 0.9, "beta2": 0.999,
                  "eps": 1e-8},
    "schedule": {"name": "cosine", "warmup": 0.1},
    "train": {"batch_size": 16, "epochs": 1}, "eval": {"every": 50}, "run": "runs/qwen",
    "checkpoint": {"every": 100, "keep": 3}})")));
  CHECK(!m.whole());
  CHECK(contains(told_of(m, "dataset_name"), "lost: a data set of the hub"));
  CHECK(contains(told_of(m, "dataset_name"),
                 "`hf download trl-lib/Capybara --repo-type dataset --local-dir data/Capybara`"));
  CHECK(contains(told_of(m, "deepspeed"), "no sense: one process needs none"));
  CHECK(contains(told_of(m, "hub_token"), "no sense: nothing is uploaded"));
  CHECK(contains(told_of(m, "packing"), "lost: "));
  CHECK(contains(told_of(m, "report_to"), "lost: "));
  CHECK(contains(told_of(m, "lerning_rate"), "unknown: no such key; did you mean \"learning_rate\"?"));
  CHECK(told_of(m, "lora_r") == "carried: adapter.rank");
  CHECK(contains(migration_report(m), "not carried:\n  dataset_name: \"trl-lib/Capybara\": a data set"));
}

TEST_CASE("what is off, or of a switch that is off, is not lost; what needs a switch is") {
  const Migrated m = migrate_text(
      "model_name_or_path: m\ndataset_name: d\npush_to_hub: false\nfp16: false\n"
      "use_peft: false\nlora_r: 8\n");
  CHECK(told_of(m, "push_to_hub") == "no sense: asks for nothing");
  CHECK(contains(told_of(m, "lora_r"), "no sense: use_peft is not true"));
  CHECK(m.config["adapter"]["kind"] == "full");
}

TEST_CASE("the trainer is told by the keys, and --trainer stands before it") {
  const auto source = [](const std::string& keys) {
    return migrate_text("model_name_or_path: m\n" + keys).source;
  };
  CHECK(source("learning_rate: 1e-5\n") == "TRL (sft)");
  CHECK(source("beta: 0.1\n") == "TRL (dpo)");
  CHECK(source("loss_type: [sigmoid, bco_pair]\n") == "TRL (dpo)");
  CHECK(source("num_generations: 4\nbeta: 0.01\nepsilon: 0.2\nscale_rewards: none\n") == "TRL (grpo)");
  CHECK(source("loss_type: dr_grpo\n") == "TRL (grpo)");
  CHECK(source("desirable_weight: 1.5\n") == "TRL (kto)");
  CHECK(source("center_rewards_coefficient: 0.01\n") == "TRL (reward)");
  CHECK(source("simpo_gamma: 1.0\nloss_type: simpo\n") == "TRL (cpo)");
  CHECK(migrate_text("model_name_or_path: m\nbeta: 0.1\n", "trl", "orpo").source == "TRL (orpo)");
  const Migrated kto = migrate_text("model_name_or_path: m\npacking: true\nbeta: 0.1\n", "trl", "kto");
  CHECK(contains(told_of(kto, "packing"), "lost: is of sft, and this is taken for kto"));
}

TEST_CASE("DPO's losses go to the objectives of the same formulas") {
  const auto algorithm = [](const std::string& keys) {
    return migrate_text("model_name_or_path: m\ndataset_name: d\n" + keys, "trl", "dpo").config["algorithm"];
  };
  CHECK(same(algorithm("beta: 0.2\n"), Json({{"name", "dpo"}, {"beta", 0.2}})));
  CHECK(same(algorithm("loss_type: ipo\n"), Json({{"name", "ipo"}, {"beta", 0.1}})));
  CHECK(same(algorithm("loss_type: [robust]\nlabel_smoothing: 0.2\n"),
             Json({{"name", "robust"}, {"beta", 0.1}, {"label_smoothing", 0.2}})));
  CHECK(
      same(algorithm("loss_type: [sigmoid, bco_pair, sft]\nloss_weights: [0.8, 0.2, 1.0]\n"), Json::parse(R"(
    {"name": "dpo", "beta": 0.1, "weight": 0.8, "also": [{"name": "bco_pair", "beta": 0.1, "weight": 0.2}],
     "sft_weight": 1})")));
  CHECK(same(algorithm("f_divergence_type: js_divergence\nuse_weighting: true\nld_alpha: 0.5\n"),
             Json::parse(R"(
    {"name": "dpo", "beta": 0.1, "wpo": true, "divergence": "js", "ld_alpha": 0.5})")));
  const Migrated synced =
      migrate_text("model_name_or_path: m\ndataset_name: d\nsync_ref_model: true\n", "trl", "dpo");
  CHECK(same(synced.config["reference"], Json({{"sync_every", 512}, {"sync_share", 0.6}})));
  const Migrated unknown = migrate_text("model_name_or_path: m\nloss_type: [nothing]\n", "trl", "dpo");
  CHECK(contains(told_of(unknown, "loss_type"), "lost: there is no loss \"nothing\""));
}

TEST_CASE("GRPO: batches count completions in TRL and prompts here") {
  const Migrated m = migrate_text(R"(model_name_or_path: m
dataset_name: d
per_device_train_batch_size: 16
gradient_accumulation_steps: 2
steps_per_generation: 8
num_generations: 4
num_iterations: 2
max_steps: 100
beta: 0.04
epsilon_high: 0.28
loss_type: dr_grpo
scale_rewards: none
max_completion_length: 256
temperature: 0.9
reward_funcs: [accuracy_reward, think_format_reward, my_lib.rewards.short]
reward_weights: [1.0, 0.5, 0.1]
use_vllm: true
)");
  CHECK(m.source == "TRL (grpo)");
  CHECK(same(m.config["rollout"],
             Json::parse(R"({"prompts_per_step": 32, "group_size": 4, "max_new_tokens": 256,
    "temperature": 0.9})")));
  // 128 completions are sampled together; an update learns from 32 of them, each is learnt from twice.
  CHECK(same(m.config["train"], Json::parse(R"({"batch_size": 8, "updates_per_rollout": 2, "steps": 13})")));
  CHECK(same(m.config["algorithm"],
             Json::parse(R"({"name": "grpo", "reduction": "seq_mean_token_sum", "clip_low": 0.2,
    "clip_high": 0.28, "kl_coef": 0.04, "kl_importance_weight": true, "advantage": "group_center"})")));
  CHECK(same(m.config["rewards"], Json::parse(R"([{"kind": "math", "column": "solution"},
    {"kind": "format", "pattern": "think", "weight": 0.5},
    {"kind": "process", "name": "short", "command": ["python3", "my_lib/rewards.py"], "weight": 0.1}])")));
  CHECK(contains(told_of(m, "reward_funcs.2"), "lost: Python code"));
  CHECK(contains(told_of(m, "use_vllm"), "no sense: "));
  CHECK_THROWS_WITH_AS(migrate_text("model_name_or_path: m\nnum_generations: 5\n"),
                       doctest::Contains("num_generations: 8 completions"), UserError);
  const auto name = [](const std::string& keys) {
    return migrate_text("model_name_or_path: m\nnum_generations: 8\n" + keys).config["algorithm"];
  };
  CHECK(name("")["reduction"] == "token_mean");
  CHECK(name("importance_sampling_level: sequence\nloss_type: grpo\n")["name"] == "gspo");
  CHECK(name("importance_sampling_level: sequence\n")["name"] == "gspo_token");
  CHECK(name("loss_type: cispo\nepsilon_high: 5.0\n")["weight_max"] == 5);
  CHECK(
      same(name("loss_type: sapo\n"), Json::parse(R"({"name": "sapo", "tau_positive": 1, "tau_negative": 1.05,
    "advantage": "group_zscore"})")));
}

TEST_CASE("values of the wrong type are the user's mistake, by name") {
  CHECK_THROWS_WITH_AS(migrate_text("model_name_or_path: m\nlearning_rate: fast\n"),
                       doctest::Contains("learning_rate: expected a number, found \"fast\""), UserError);
  CHECK_THROWS_WITH_AS(migrate_text("model_name_or_path: m\nper_device_train_batch_size: 0\n"),
                       doctest::Contains("expected whole numbers from 1"), UserError);
  CHECK_THROWS_WITH_AS(migrate_text("some: thing\n"), doctest::Contains("expected the config of one of them"),
                       UserError);
}

TEST_CASE("mixtures: files, shares, splits; paths are from where the config will stand") {
  const TempFolder folder;
  const std::string file = folder.write("trl.yaml", R"(model_name_or_path: models/base
datasets:
  - {path: json, data_files: a.jsonl, fraction: 0.75}
  - {path: json, data_files: [b.jsonl], fraction: 0.25, split: "train[:10%]"}
)");
  const Migrated m = migrate_config(file, "trl", "sft", "out");
  CHECK(m.config["data"]["train"] == Json::array({"../a.jsonl", "../b.jsonl"}));
  CHECK(m.config["data"]["weights"] == Json::array({0.75, 0.25}));
  CHECK(contains(told_of(m, "datasets.1.split"), "lost: "));
}
