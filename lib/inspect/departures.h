// Where what is no objective differs from its source on purpose (objectives: objective/notes.h).
#pragma once

#include <string>
#include <vector>

namespace temper {

// Of the `kind` ("input", "problem", "reward", "replay", "adapter", "optimizer", "schedule") called `name`;
// empty: in nothing that is known.
std::vector<std::string> departures_of(const std::string& kind, const std::string& name);

// "kind/name" of all that have some.
std::vector<std::string> names_with_departures();

}  // namespace temper
