#include "migrate/axolotl.h"

#include "base/error.h"
#include "migrate/migrate_told.h"
#include "test.h"

using namespace temper;

TEST_CASE("a QLoRA file of axolotl") {
  const Migrated m = migrate_text(R"(base_model: NousResearch/Llama-3.2-1B
load_in_8bit: false
load_in_4bit: true
strict: false
datasets:
  - path: chats.jsonl
    type: chat_template
    field_messages: conversations
    message_property_mappings: {role: from, content: value}
    roles: {user: [human], assistant: [gpt]}
  - path: teknium/GPT4-LLM-Cleaned
    type: alpaca
dataset_prepared_path: last_run_prepared
val_set_size: 0.1
output_dir: ./outputs/lora-out
adapter: qlora
lora_r: 16
lora_alpha: 32
lora_dropout: 0.05
lora_target_linear: true
sequence_len: 2048
sample_packing: true
eval_sample_packing: false
pad_to_sequence_len: true
wandb_project:
gradient_accumulation_steps: 4
micro_batch_size: 2
num_epochs: 3
optimizer: adamw_8bit
lr_scheduler: cosine
learning_rate: 0.0002
bf16: auto
tf32: false
gradient_checkpointing: true
logging_steps: 1
flash_attention: true
warmup_ratio: 0.1
evals_per_epoch: 4
saves_per_epoch: 1
weight_decay: 0.01
special_tokens:
  pad_token: "<|end_of_text|>"
)");
  CHECK(m.source == "axolotl (sft)");
  CHECK(same(m.config, Json::parse(R"({"task": "sft",
    "model": {"path": "NousResearch/Llama-3.2-1B", "checkpointing": "all", "quantise": "nf4",
              "double_quantisation": true},
    "adapter": {"kind": "lora", "rank": 16, "alpha": 32, "dropout": 0.05, "targets": "all-linear"},
    "data": {"train": ["chats.jsonl", "teknium/GPT4-LLM-Cleaned"], "columns": {"messages": "conversations"},
             "tags": {"role": "from", "content": "value", "user": "human", "assistant": "gpt"}, "format": "alpaca",
             "eval_share": 0.1, "max_tokens": 2048, "overlong": "drop"},
    "optimizer": {"name": "adamw8bit", "lr": 0.0002, "weight_decay": 0.01, "clip_norm": 1, "beta1": 0.9,
                  "beta2": 0.999, "eps": 1e-8},
    "schedule": {"name": "cosine", "warmup": 0.1},
    "train": {"batch_size": 8, "epochs": 3}, "run": "outputs/lora-out"})")));
  CHECK(contains(told_of(m, "datasets.1.path"), "lost: a data set of the hub"));
  CHECK(contains(told_of(m, "datasets.1.type"), "lost: records become chats"));
  CHECK(contains(told_of(m, "sample_packing"), "lost: "));
  CHECK(contains(told_of(m, "evals_per_epoch"), "lost: eval.every counts steps"));
  CHECK(contains(told_of(m, "special_tokens"), "lost: "));
  CHECK(contains(told_of(m, "flash_attention"), "no sense: "));
  CHECK(told_of(m, "wandb_project") == "no sense: asks for nothing");
  CHECK(told_of(m, "micro_batch_size").starts_with("carried: train.batch_size"));
}

TEST_CASE("axolotl's preferences and GRPO") {
  const auto config = [](const std::string& keys) {
    return migrate_text("base_model: m\nmicro_batch_size: 8\ndatasets: [{path: a.jsonl}]\n" + keys);
  };
  const Json dpo = config("rl: dpo\nrl_beta: 0.2\ndpo_label_smoothing: 0.1\n").config;
  CHECK(dpo["task"] == "preference");
  CHECK(same(dpo["algorithm"], Json({{"name", "dpo"}, {"beta", 0.2}, {"label_smoothing", 0.1}})));
  CHECK(same(config("rl: kto\nkto_desirable_weight: 0.2\n").config["algorithm"],
             Json({{"name", "kto"}, {"beta", 0.1}, {"desirable_weight", 0.2}, {"undesirable_weight", 1}})));
  CHECK(same(config("rl: orpo\norpo_alpha: 0.3\n").config["algorithm"],
             Json({{"name", "orpo"}, {"lambda", 0.3}})));
  CHECK(same(config("rl: ipo\n").config["algorithm"], Json({{"name", "ipo"}, {"beta", 0.1}})));
  const Migrated grpo = config(
      "rl: grpo\ntrl: {num_generations: 4, beta: 0.001, max_completion_length: 64, "
      "use_vllm: true, odd: 1, async_prefetch: true}\n");
  CHECK(grpo.source == "axolotl (grpo)");
  CHECK(same(grpo.config["rollout"],
             Json({{"prompts_per_step", 2}, {"group_size", 4}, {"max_new_tokens", 64}})));
  CHECK(grpo.config["algorithm"]["kl_coef"] == 0.001);
  CHECK(told_of(grpo, "trl.num_generations") == "carried: rollout.group_size");
  CHECK(contains(told_of(grpo, "trl.odd"), "unknown: "));
  CHECK(contains(told_of(grpo, "trl.async_prefetch"), "lost: "));
  CHECK(config("rl: sideways\n").config["algorithm"]["name"] == "dpo");
  CHECK(contains(told_of(config("rl: sideways\n"), "rl"), "lost: "));
}

TEST_CASE("axolotl's defaults: 3% of warm-up, cosine, one epoch, chats of 512 tokens") {
  const Json config = migrate_text("base_model: m\nlearning_rate: 1e-4\nadapter: lora\nlora_r: 8\n").config;
  CHECK(same(config["schedule"], Json({{"name", "cosine"}, {"warmup", 0.03}})));
  CHECK(same(config["train"], Json({{"batch_size", 1}, {"epochs", 1}})));
  CHECK(config["data"]["max_tokens"] == 512);
}
