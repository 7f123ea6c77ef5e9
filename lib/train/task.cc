#include "train/task.h"

#include "train/config.h"
#include "train/plan.h"

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

}  // namespace temper
