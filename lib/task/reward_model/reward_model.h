// The held-out figures of a reward-model run.
#pragma once

#include <string>

#include "train/evaluation.h"

namespace temper {

class Session;

// Loss, accuracy with its interval, by margin and by strength, and calibration. `when` begins the line for
// people.
void evaluate_reward_model(Session& session, const std::string& when, Evaluation& out);

}  // namespace temper
