// Several attempts at one question, with word of how many are left.
#pragma once

#include "env/environment.h"
#include "reward/reward.h"

namespace temper {

// "Learning from Failures in Multi-Attempt Reinforcement Learning" (arXiv 2503.04808): of N ~ U{1..attempts}
// attempts, drawn for a prompt and so one for its group, the policy is told when one failed and how many are
// left. +1 for a right answer at any of them, -0.5 when an answer was given and none was right, -1 when none
// was given. Evaluations allow all attempts and say how many conversations were solved within 1, 2 ... of
// them.
struct AttemptsRules {
  int64_t attempts = 5;
  bool random = true;  // in training; else all conversations have `attempts`
  double correct_above = 0.5;
  double right = 1.0, wrong = -0.5, unanswered = -1.0;
  std::string feedback = "Your answer is wrong. Attempts left: {left}. Try again.";
  std::string no_answer = "There is no answer in that. Attempts left: {left}. Try again.";
};

struct AttemptsOptions : EnvironmentOptions {
  AttemptsRules rules;
  std::string verifier_kind = "math";
  std::unique_ptr<RewardOptions> verifier;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  bool scores() const override { return true; }
  std::unique_ptr<EnvironmentSource> make() const override;
};

}  // namespace temper
