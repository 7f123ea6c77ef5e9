#include "reward/environment_reward.h"

namespace temper {
namespace {

class EnvironmentReward : public Reward {
 public:
  std::vector<Score> score(const std::vector<RewardItem>& items) override {
    std::vector<Score> out;
    for (const RewardItem& item : items) out.push_back(item.environment);
    return out;
  }
  bool each_alone() const override { return true; }
};

}  // namespace

std::unique_ptr<Reward> EnvironmentRewardOptions::make() const {
  return std::make_unique<EnvironmentReward>();
}

}  // namespace temper
