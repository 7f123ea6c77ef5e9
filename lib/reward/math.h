// The verifier of answers in mathematics.
#pragma once

#include "reward/reward.h"

namespace temper {

struct MathOptions : RewardOptions {
  std::string column = "answer";
  std::string answer_in = "auto";
  bool strict = false;
  bool worked_out = false;
  double tolerance = 1e-6;
  std::vector<std::string> kinds;  // of references; empty: all
  double correct = 1.0, incorrect = 0.0;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  std::unique_ptr<Reward> make() const override;
};

}  // namespace temper
