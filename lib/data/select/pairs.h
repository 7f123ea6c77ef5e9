// Pairs of answers to one prompt, to learn a preference from.
#pragma once

#include "data/select/rules.h"

namespace temper {

// Which pairs (chosen, rejected) of a prompt's answers are taken, `per_prompt` at most. Of all rules but
// "threshold" a pair's rewards differ by more than min_margin; answers of the same text make no pair.
//   best_worst        the highest reward with the lowest, the second highest with the second lowest ...; the
//   first of
//                     equals
//   max_margin        the pairs of the largest differences
//   random            any pairs
//   all               all of them
//   threshold         an answer of at least `threshold` with one below it, in their order; of the sort that
//   is fewer
//                     each as often as needed
//   least_surprise    the pairs with the largest difference of the answers' mean log-probs under the policy
//   that wrote
//                     them: whose order the model disagrees with least
//   likely_negatives  the highest reward with the answers of the highest mean log-probs
// max_margin, least_surprise and likely_negatives: Adams et al., arXiv 2305.07615.
struct PairRule : SelectOptions {
  std::string rule = "best_worst";
  int64_t per_prompt = 1;
  double min_margin = 0;
  double threshold = kGoodReward;

  void fields(FieldVisitor& v) override;
  // Records {"prompt", "chosen", "rejected", "score_chosen", "score_rejected"} with the prompt's further
  // columns; "unfinished" names the answers that were cut. Reports beside the answers "pairs" and
  // "prompts_selected", prompts that gave one. Throws UserError for an answer without "logprobs" where the
  // rule reads them.
  std::vector<Record> select(std::vector<Record> in, SelectContext& context) const override;
  // Not pairs but each answer with a reward, as {"prompt", "completion", "label"}: true from `threshold` on.
  std::vector<Record> labelled(const std::vector<Record>& in, SelectContext& context) const;
};

}  // namespace temper
