// A whole run.
#pragma once

#include "train/session.h"

namespace temper {

// Runs the config's task, on all ranks, from wherever its run folder stands to the end: final/, the report.
// Throws UserError, Interrupted.
void run_training(const RunConfig& config, const RunOptions& options);

// A task's loop over one session.
void run_one_training(const RunConfig& config, const RunOptions& options);

}  // namespace temper
