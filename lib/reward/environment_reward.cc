#include "reward/environment_reward.h"

namespace temper {
namespace {

class EnvironmentReward : public Reward {
 public:
  std::vector<std::optional<double>> score(const std::vector<RewardItem>& items) override {
    std::vector<std::optional<double>> out;
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
