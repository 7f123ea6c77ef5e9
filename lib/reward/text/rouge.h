// ROUGE of a text beside a reference.
#pragma once

#include "reward/reward.h"

namespace temper {

// ROUGE (Lin 2004) as Google's package rouge_score computes it: words of a-z and 0-9 in lower case; of
// several references the one whose F-measure is best.
struct RougeOptions : RewardOptions {
  std::string column = "answer";
  std::string type = "rougeL";
  std::string measure = "f";
  bool stem = false;
  void fields(FieldVisitor& v) override;
  std::unique_ptr<Reward> make() const override;
};

// The words that are counted; stems of those of more than three letters if wished (porter.h).
std::vector<std::string> rouge_words(const std::string& text, bool stem);

struct RougeScore {
  double precision = 0, recall = 0, f = 0;
};
// type: rouge1, rouge2 (n-grams), rougeL (longest common subsequence) or rougeLsum (union of those of the
// lines). nullopt: rougeLsum of lines so long that the table, a bit for each pair of words, is above 512 MiB.
std::optional<RougeScore> rouge(const std::string& type, const std::string& reference,
                                const std::string& completion, bool stem);

}  // namespace temper
