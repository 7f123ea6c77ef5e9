// Verifiers that compare text: exact and contains.
#pragma once

#include "reward/reward.h"

namespace temper {

struct ExactOptions : RewardOptions {
  std::string column = "answer";
  std::string answer_in = "all";
  bool ignore_case = false, ignore_punctuation = false;
  std::string whitespace = "trim";
  double correct = 1.0, incorrect = 0.0;
  void fields(FieldVisitor& v) override;
  std::unique_ptr<Reward> make() const override;
};

struct ContainsOptions : RewardOptions {
  std::string column;  // "": the texts below
  std::vector<std::string> texts;
  std::string need = "any";
  bool ignore_case = false;
  double correct = 1.0, incorrect = 0.0;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  std::unique_ptr<Reward> make() const override;
};

}  // namespace temper
