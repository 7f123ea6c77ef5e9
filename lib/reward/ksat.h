// The verifier of made satisfiability problems (data/problems/ksat.h).
#pragma once

#include "reward/reward.h"

namespace temper {

struct KsatRewardOptions : RewardOptions {
  std::string column = "formula";
  double correct = 1.0, incorrect = 0.0, partial = 0.0;
  void fields(FieldVisitor& v) override;
  std::unique_ptr<Reward> make() const override;
};

}  // namespace temper
