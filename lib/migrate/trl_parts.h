// What trl.cc and trl_rl.cc share.
#pragma once

#include "migrate/training.h"

namespace temper {

// GRPO and RLOO but for model, data and saving.
void migrate_trl_rl(Migration& m, const std::string& trainer);
// GRPO's algorithm, rollout, rewards, reference and steps.
void carry_grpo(Migration& m, const TrainerSpelling& names);
std::span<const ForeignKey> trl_rl_keys();
// The reference model that follows the policy, and its log-probs kept.
void carry_reference(Migration& m);

}  // namespace temper
