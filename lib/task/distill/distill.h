// The held-out figures of a distillation.
#pragma once

#include <string>

#include "train/evaluation.h"

namespace temper {

// The run's loss, the divergence from the teachers, and the negative log-likelihood of the held-out targets.
// `when` begins the line for people.
void evaluate_distill(Session& session, const std::string& when, Evaluation& out);

}  // namespace temper
