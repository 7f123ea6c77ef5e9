// Evaluation during a run: the loss on held-out targets (sft) and, where rewards are configured, scored
// completions.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "train/metrics.h"

namespace temper {

class Session;

struct Evaluation {
  MetricsRow row;  // split "eval"
  std::vector<SampleRow> samples;
  std::optional<double> score;  // what "best" means: the mean reward, else minus the loss
  std::string line;             // for people
};

Evaluation evaluate_run(Session& session);

}  // namespace temper
