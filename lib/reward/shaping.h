// Rewards that shape length and repetition. Formulas: formulas/rewards.md.
#pragma once

#include "reward/reward.h"

namespace temper {

// Appendix C.1 of "Demystifying Long Chain-of-Thought Reasoning" (arXiv 2502.03373): correct answers earn
// more when short, wrong ones lose more when short. low + (high - low) (1 + cos(pi min(len / max, 1))) / 2,
// from `high` at length 0 to `low` at max_tokens. Null where the verifier is null.
struct CosineOptions : RewardOptions {
  int64_t max_tokens = 1024;
  double correct_short = 1.0, correct_long = 0.5;
  double wrong_short = -1.0, wrong_long = -0.5;
  std::string verifier_kind = "math";
  std::unique_ptr<RewardOptions> verifier;
  double correct_above = 0.5;
  void fields(FieldVisitor& v) override;
  std::unique_ptr<Reward> make() const override;
};

// Equation 13 of DAPO (arXiv 2503.14476): 0 up to max - cache tokens, falls linearly to -1 at max, -1 beyond.
struct OverlongOptions : RewardOptions {
  int64_t max_tokens = 0, cache = 0;
  double penalty = 1.0;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  std::unique_ptr<Reward> make() const override;
};
double soft_overlong(int64_t tokens, int64_t max_tokens, int64_t cache);

// Appendix C.2 of arXiv 2502.03373: penalty x (1 - distinct n-grams / n-grams); 0 when shorter than one
// n-gram.
struct RepetitionOptions : RewardOptions {
  int64_t ngram = 3;
  double penalty = -1.0;
  std::string unit = "tokens";
  void fields(FieldVisitor& v) override;
  std::unique_ptr<Reward> make() const override;
};

}  // namespace temper
