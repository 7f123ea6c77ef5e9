// TRL's YAML: the fields of a trainer's config, of ModelConfig and of the script's arguments in one flat
// file.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "migrate/migration.h"

namespace temper {

// sft, dpo, kto, grpo, rloo, reward, cpo, orpo.
const std::vector<std::string>& trl_trainers();
std::vector<std::span<const ForeignKey>> trl_tables();
// The trainer whose keys the file has; of several, the first of the list above that has them all.
std::string trl_trainer(const Json& source);
// trainer: one of trl_trainers(). Throws UserError.
Migrated migrate_trl(const Json& source, const std::string& trainer, const std::string& where,
                     const std::string& folder);

// Parts that axolotl hands to TRL's trainers as they are.

// algorithm of the preference task from DPO's loss types, with their weights where there are any.
struct DpoValues {
  std::vector<std::string> losses = {"sigmoid"};
  std::vector<double> weights;  // empty: 1 each
  double beta = 0.1, label_smoothing = 0, discopop_tau = 0.05;
};
void set_dpo(Migration& m, const std::string& loss_key, const DpoValues& dpo);
// rewards from the names of TRL's reward functions.
void set_rewards(Migration& m, const std::string& key, const std::vector<std::string>& names,
                 const std::vector<double>& weights, const std::string& model);

}  // namespace temper
