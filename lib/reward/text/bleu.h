// BLEU of single texts.
#pragma once

#include "reward/reward.h"

namespace temper {

// sacrebleu's sentence_bleu (Papineni et al. 2002; Post 2018, arXiv 1804.08771) over 100: tokens of its 13a,
// n-grams up to 4 or as long as the completion, those without a match smoothed by 1 / 2^k, all references at
// once.
struct BleuOptions : RewardOptions {
  std::string column = "answer";
  bool lowercase = false;
  void fields(FieldVisitor& v) override;
  std::unique_ptr<Reward> make() const override;
};

// The tokens of sacrebleu's tokenizer 13a (mteval-v13a.pl). Of valid UTF-8.
std::vector<std::string> bleu_tokens(const std::string& text);
// From 0 to 1; at least one reference, all valid UTF-8.
double sentence_bleu(const std::string& completion, const std::vector<std::string>& references);

}  // namespace temper
