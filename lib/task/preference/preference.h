// The held-out figures of a preference run.
#pragma once

#include <string>

#include "train/evaluation.h"

namespace temper {

// Loss, implicit rewards and the share of pairs whose chosen answer has the higher one. `when` begins the
// line for people.
void evaluate_preference(Session& session, const std::string& when, Evaluation& out);

}  // namespace temper
