// The factories that registry.cc lists; each is defined in the file of its objective.
#pragma once

#include <memory>

#include "objective/policy.h"
#include "objective/supervised.h"

namespace temper::objective {

std::unique_ptr<PolicyAlgorithm> grpo();
std::unique_ptr<PolicyAlgorithm> dapo();
std::unique_ptr<PolicyAlgorithm> dr_grpo();

std::unique_ptr<SupervisedOptions> nll();

}  // namespace temper::objective
