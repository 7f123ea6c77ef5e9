// chrF of single texts.
#pragma once

#include "reward/reward.h"

namespace temper {

// sacrebleu's sentence_chrf (Popovic 2015; Post 2018, arXiv 1804.08771) over 100: precision and recall of the
// n-grams of characters, white space left out, averaged over the orders up to `order` that both texts have,
//   (1 + beta^2) p r / (beta^2 p + r);
// of several references the one that fits best.
struct ChrfOptions : RewardOptions {
  std::string column = "answer";
  int64_t order = 6;
  double beta = 2;
  void fields(FieldVisitor& v) override;
  std::unique_ptr<Reward> make() const override;
};

}  // namespace temper
