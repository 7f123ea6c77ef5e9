// The tasks that a config's "task" may name.
#pragma once

#include "train/task.h"

namespace temper {

const Registry<Task>& task_registry();

}  // namespace temper
