// transformers' TrainingArguments, which TRL and LLaMA-Factory take as they are and axolotl under other
// names.
#pragma once

#include <span>
#include <string>

#include "migrate/migration.h"

namespace temper {

// How a source spells what is carried, and its defaults; as given here they are transformers'.
struct TrainerSpelling {
  const char *batch = "per_device_train_batch_size", *epochs = "num_train_epochs", *optimizer = "optim",
             *schedule = "lr_scheduler_type";
  double lr = 5e-5, epochs_default = 3;
  int64_t batch_default = 8;
  const char* schedule_default = "linear";
};

// The table of TrainingArguments, those of transformers 4 that are gone among them.
std::span<const ForeignKey> trainer_keys();

// optimizer and schedule.
void carry_optimizer(Migration& m, const TrainerSpelling& names);
// train.steps or train.epochs, and train.batch_size.
void carry_steps(Migration& m, const TrainerSpelling& names);
int64_t update_size(Migration& m, const TrainerSpelling& names);  // batch times accumulation
// model.dtype and model.checkpointing.
void carry_precision(Migration& m);
struct SavingSpelling {
  int64_t logging_default = 500;  // of logging_steps, which eval_steps follows
  bool eval_steps_ask = false;    // eval_steps alone asks for evaluations
};
// eval.every, checkpoint and run; after the data, as evaluations need held-out ones.
void carry_saving(Migration& m, const SavingSpelling& spelling = {});

// A LoRA, as PEFT's LoraConfig has it after the source's defaults.
struct LoraValues {
  Json rank = 8, alpha = 8, dropout = 0.0;
  Json targets;  // null: PEFT's own for the family
  bool rslora = false, dora = false;
  Json modules_to_save;  // null: none
};
void set_lora(Migration& m, const LoraValues& lora);
// adapter.init from PEFT's init_lora_weights, which stands under `key`.
void set_lora_init(Migration& m, const std::string& key, const Json& value);
// PEFT's "all-linear", a list, or a regular expression; LLaMA-Factory's "all" and commas too.
Json lora_targets(const Json& value);

}  // namespace temper
