// One function a task, each the algorithm from top to bottom.
#pragma once

#include "train/session.h"

namespace temper {

void train_sft(Session& session);           // sft.cc
void train_preference(Session& session);    // preference.cc
void train_rl(Session& session);            // rl.cc
void train_reward_model(Session& session);  // reward_model.cc
void train_distill(Session& session);       // distill.cc

// Runs the configured task from wherever its run folder stands to the end. Throws UserError, Interrupted.
void run_training(const RunConfig& config, const RunOptions& options);

}  // namespace temper
