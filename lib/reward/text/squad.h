// The measures of SQuAD: f1 of words, and exact match.
#pragma once

#include "reward/reward.h"

namespace temper {

// As the evaluation script of SQuAD v1.1 has them (Rajpurkar et al. 2016, arXiv 1606.05250): texts in lower
// case, without ASCII punctuation and the words a, an and the; the best over the references. Where neither
// text has a word, f1 is 0 and exact_match 1, as there.
struct SquadOptions : RewardOptions {
  std::string column = "answer";
  std::string metric = "f1";
  void fields(FieldVisitor& v) override;
  std::unique_ptr<Reward> make() const override;
};

// The words that the script compares. Of valid UTF-8.
std::vector<std::string> squad_words(const std::string& text);

}  // namespace temper
