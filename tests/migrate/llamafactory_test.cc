#include "migrate/llamafactory.h"

#include "base/error.h"
#include "migrate/migrate_told.h"
#include "test.h"

using namespace temper;

TEST_CASE("a LoRA file of LLaMA-Factory, with the files of dataset_info.json") {
  const TempFolder folder;
  folder.write("dataset_info.json",
               R"({"mine": {"file_name": "mine.json"}, "far": {"hf_hub_url": "org/far"}})");
  const Migrated m = migrate_text(fmt::format(R"(model_name_or_path: Qwen/Qwen3-4B
trust_remote_code: true
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 8
lora_target: all
dataset_dir: {}
dataset: mine, far
template: qwen3_nothink
cutoff_len: 2048
max_samples: 1000
preprocessing_num_workers: 16
output_dir: saves/qwen3/lora/sft
logging_steps: 10
save_steps: 500
plot_loss: true
overwrite_output_dir: true
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 1.0e-4
num_train_epochs: 3.0
lr_scheduler_type: cosine
warmup_ratio: 0.1
bf16: true
ddp_timeout: 180000000
resume_from_checkpoint: null
)",
                                              folder.text()));
  CHECK(m.source == "LLaMA-Factory (sft)");
  CHECK(same(m.config, Json::parse(fmt::format(R"({{"task": "sft",
    "model": {{"path": "Qwen/Qwen3-4B", "dtype": "bf16"}},
    "adapter": {{"kind": "lora", "rank": 8, "alpha": 16, "dropout": 0, "targets": "all-linear"}},
    "data": {{"train": ["{}/mine.json", "org/far"], "max_tokens": 2048, "overlong": "truncate", "template": "auto"}},
    "loss": {{"name": "nll"}},
    "optimizer": {{"name": "adamw", "lr": 1e-4, "weight_decay": 0, "clip_norm": 1, "beta1": 0.9, "beta2": 0.999,
                  "eps": 1e-8}},
    "schedule": {{"name": "cosine", "warmup": 0.1}},
    "train": {{"batch_size": 8, "epochs": 3}}, "run": "saves/qwen3/lora/sft", "checkpoint": {{"every": 500}}}})",
                                               folder.text()))));
  CHECK(contains(told_of(m, "max_samples"), "lost: "));
  CHECK(contains(told_of(m, "dataset.far"), "lost: a data set of the hub"));
  CHECK(told_of(m, "lora_rank") == "carried: adapter.rank");
  CHECK(contains(told_of(m, "ddp_timeout"), "no sense: "));
}

TEST_CASE("LLaMA-Factory's preferences, adapters and stages") {
  const auto config = [](const std::string& keys) {
    return migrate_text("model_name_or_path: m\ndataset: d\nfinetuning_type: lora\n" + keys).config;
  };
  CHECK(same(config("stage: dpo\npref_beta: 0.2\npref_loss: sigmoid\npref_ftx: 0.1\n")["algorithm"],
             Json({{"name", "dpo"}, {"beta", 0.2}, {"sft_weight", 0.1}})));
  CHECK(
      same(config("stage: dpo\npref_loss: orpo\n")["algorithm"], Json({{"name", "orpo"}, {"lambda", 0.1}})));
  CHECK(same(config("stage: dpo\npref_loss: simpo\nsimpo_gamma: 0.7\n")["algorithm"],
             Json({{"name", "simpo"}, {"beta", 0.1}, {"gamma", 0.7}})));
  CHECK(config("stage: kto\nkto_chosen_weight: 2.0\n")["algorithm"]["desirable_weight"] == 2);
  CHECK(config("stage: rm\n")["task"] == "reward_model");
  CHECK(config("stage: pt\n")["data"]["targets"] == "all");
  CHECK(config("stage: sft\nquantization_bit: 4\n")["model"]["quantise"] == "nf4");
  CHECK(same(config("stage: sft\nlora_target: q_proj,v_proj\n")["adapter"]["targets"],
             Json::array({"q_proj", "v_proj"})));
  CHECK(same(
      migrate_text("model_name_or_path: m\nstage: sft\nfinetuning_type: freeze\nfreeze_trainable_layers: 3\n")
          .config["adapter"],
      Json({{"kind", "freeze"}, {"blocks", 3}})));
  CHECK_THROWS_WITH_AS(config("stage: ppo\n"), doctest::Contains("stage: expected"), UserError);
}
