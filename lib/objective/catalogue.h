// Every objective of every family: what `temper-inspect list objective`, README.md of this folder and the
// lookup by name are made of.
#pragma once

#include <string>
#include <vector>

#include "base/json_fwd.h"

namespace temper::objective {

// {"name", "family", "summary", "source", "equation", "departures", "paper", "metrics", "fields", "inputs"}
// each ("paper": the paper's values of the fields that the preset has otherwise), by family (policy,
// preference, supervised, reward_model, distillation) in the order of the registries.
Json list_objectives();

// {"name", "title", "summary", "departures", "metrics"} each: what holds for all objectives of a family.
Json list_objective_families();

struct ObjectiveId {
  std::string family, name;
};
// "dpo", or "preference/dpo" where several families have the name. Throws UserError for a name that is
// unknown (with the nearest one) or ambiguous (with the families).
ObjectiveId find_objective(const std::string& name);

}  // namespace temper::objective
