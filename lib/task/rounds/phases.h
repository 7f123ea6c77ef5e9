// The factories that phases.cc lists; each is defined in the file of its phase.
#pragma once

#include <memory>

#include "task/rounds/phase.h"

namespace temper {

std::unique_ptr<PhaseOptions> generate_phase();
std::unique_ptr<PhaseOptions> select_phase();
std::unique_ptr<PhaseOptions> train_phase();
std::unique_ptr<PhaseOptions> evaluate_phase();
std::unique_ptr<PhaseOptions> tune_phase();
std::unique_ptr<PhaseOptions> merge_phase();

}  // namespace temper
