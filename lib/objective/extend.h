// Where a program adds objectives of its own: define the function for a family in your program, and every
// config, list and lookup of it knows them. Each is called once, when its registry is first asked for, after
// the entries of the family's registry.cc; a name that is there already is an error. extend.cc has the empty
// ones that a program without objectives of its own gets.
//   void temper::objective::extend(Registry<PolicyAlgorithm>& registry) { registry.add({"mine", "...", "...",
//   mine}); }
// README.md of the project shows a whole one, tests/out_of_tree is a project that builds.
#pragma once

#include "objective/policy/policy.h"
#include "objective/preference/preference.h"
#include "objective/supervised/supervised.h"

namespace temper::objective {

void extend(Registry<PolicyAlgorithm>& registry);
void extend(Registry<PreferenceLossOptions>& registry);
void extend(Registry<SupervisedOptions>& registry);

}  // namespace temper::objective
