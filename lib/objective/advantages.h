// Advantage estimators by name; the list is in advantages.cc.
#pragma once

#include <string>
#include <vector>

namespace temper::objective {

std::vector<std::string> advantage_names();

}  // namespace temper::objective
