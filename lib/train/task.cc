#include "train/task.h"

#include "base/json.h"
#include "run/files.h"
#include "train/config.h"
#include "train/plan.h"
#include "train/run.h"

namespace temper {

const RolloutSection& Task::sampling() const {
  static const RolloutSection kDefaults;
  return kDefaults;
}

int64_t Task::updates(const RunConfig& config) const {
  return config.train.steps;
}

int64_t Task::records_of_step(const RunConfig& config) const {
  return config.train.batch_size;
}

TaskMemory Task::memory(const RunConfig&, const PlanShapes&) const {
  return {};
}

Json Task::plan(const RunConfig& config, int64_t ranks) const {
  return plan_training(config, ranks);
}

std::vector<NamedPath> Task::further_paths(const RunConfig&) const {
  return {};
}

void Task::run(const RunConfig& config, const RunOptions& options) const {
  run_one_training(config, options);
}

}  // namespace temper
