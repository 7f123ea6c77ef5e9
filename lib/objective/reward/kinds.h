// The factories that registry.cc lists; reward_model.cc defines them.
#pragma once

#include <memory>

#include "objective/reward/reward_model.h"

namespace temper::objective {

std::unique_ptr<RewardLossOptions> bt();
std::unique_ptr<RewardLossOptions> margin_bt();
std::unique_ptr<RewardLossOptions> scaled_bt();
std::unique_ptr<RewardLossOptions> listwise();
std::unique_ptr<RewardLossOptions> regression();
std::unique_ptr<RewardLossOptions> process();

}  // namespace temper::objective
