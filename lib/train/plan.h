// What a run will be, worked out without loading weights: `temper-train --plan`.
#pragma once

#include "base/json_fwd.h"
#include "train/config.h"

namespace temper {

// {"config", "parameters": {...}, "memory": {..._bytes}, "steps": {...}}. Throws UserError as the run itself
// would.
Json plan_run(const RunConfig& config);

}  // namespace temper
