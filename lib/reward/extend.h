// Where a program adds rewards of its own: define this function in your program; see objective/extend.h.
#pragma once

#include "reward/reward.h"

namespace temper {

void extend(Registry<RewardOptions>& registry);

}  // namespace temper
