// Runs beside each other: where their configs differ, and what came of them.
#pragma once

#include <string>

#include "base/json_fwd.h"

namespace temper {

// All run folders at and below `folder`, those with the better figure first: {"figure": what they are
// compared by, "differing": [config fields that are not the same in all], "runs": [{"run": path below the
// folder, "config": {field: value} of the differing ones, "step", "of", "finished", "seconds", "train": {the
// last step's numbers}, "eval": {the last evaluation's}, "best": {"step", "value"}}]}. Without an evaluation
// the figure is of training. Throws UserError when there is no run, or a file of one is broken.
Json compare_runs(const std::string& folder);

// The same as a page, with curves.
std::string runs_html(const std::string& folder);

}  // namespace temper
