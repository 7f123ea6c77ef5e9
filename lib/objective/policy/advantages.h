// Advantage estimators by name; the list is in advantages.cc.
#pragma once

#include <string>
#include <vector>

#include "objective/policy/policy.h"

namespace temper::objective {

std::vector<std::string> advantage_names();

// What the estimator reads beside rewards and groups.
Needs advantage_needs(const std::string& name);

}  // namespace temper::objective
