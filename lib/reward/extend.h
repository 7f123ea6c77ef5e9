// Where a program adds rewards and transforms of its own: define these functions in your program; see
// objective/extend.h.
#pragma once

#include "reward/reward.h"
#include "reward/transform/transform.h"

namespace temper {

void extend(Registry<RewardOptions>& registry);
void extend(Registry<TransformOptions>& registry);

}  // namespace temper
