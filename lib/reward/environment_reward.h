// What the environment of a conversation gave for it.
#pragma once

#include "reward/reward.h"

namespace temper {

struct EnvironmentRewardOptions : RewardOptions {
  void fields(FieldVisitor& v) override {}
  std::unique_ptr<Reward> make() const override;
};

}  // namespace temper
