// The folder of a run: its resolved config, and whether a new start or a continuation is meant.
#pragma once

#include <optional>
#include <string>

#include "train/checkpoint.h"
#include "train/config.h"

namespace temper {

// Makes the folder and writes config.json, or, where a run is already, checks that its config is the same
// (UserError that shows each difference) and gives its newest whole checkpoint. resume: auto; must: UserError
// without a checkpoint; never: UserError when there is a run.
std::optional<CheckpointInfo> open_run_folder(const RunConfig& config, const std::string& resume);

}  // namespace temper
