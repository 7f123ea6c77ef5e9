// The "algorithm" section of a reward-model config: a loss with its own fields, and further losses beside it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "objective/reward/reward_model.h"

namespace temper::objective {

// One more loss of a run, over the records that are of its form: {"name": "regression", "weight": 0.5}.
struct RewardTerm : Fields {
  std::string name;
  double weight = 1.0;
  std::unique_ptr<RewardLossOptions> loss;
  void fields(FieldVisitor& v) override;
};

// The loss of a step is the sum of weight times mean of each loss, the mean taken over what is of its form.
struct RewardAlgorithm : Fields {
  std::string name;  // of `loss`; read by the registry's `choice`, not a field
  std::unique_ptr<RewardLossOptions> loss;
  double weight = 1.0;
  std::vector<RewardTerm> also;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
};
const Registry<RewardAlgorithm>& reward_algorithm_registry();

// The losses of an algorithm, ready to be called.
class RewardObjective {
 public:
  struct Part {
    std::string name;
    double weight = 1.0;
    std::unique_ptr<RewardLoss> loss;
    RewardNeeds needs;
  };
  explicit RewardObjective(const RewardAlgorithm& algorithm);
  const std::vector<Part>& parts() const { return parts_; }
  bool wants(RewardRows rows) const;

 private:
  std::vector<Part> parts_;
};

}  // namespace temper::objective
