// The loss of stored texts and answers, over plain numbers.
#pragma once

#include <cstdint>
#include <vector>

#include "base/statistics.h"

namespace temper {

// Of one record: -log p summed over its target tokens, in nats, and how many they are.
struct RecordLoss {
  double nll = 0;
  int64_t tokens = 0;
};

// The mean of -log p over all target tokens, and e to its power.
struct LossFigure {
  double loss = 0, perplexity = 1;
  Interval loss_interval, perplexity_interval;
  int64_t records = 0, tokens = 0;  // records with targets
};

// Student's t interval over records, whose tokens are not independent: of the ratio of two means, sum(nll) /
// sum(tokens), by its linear approximation, the mean of loss + (nll_i - loss tokens_i) / mean(tokens)
// (Cochran, Sampling Techniques, 1977, section 6.3). Infinite for fewer than two records. No target at all
// throws std::logic_error.
LossFigure loss_figure(const std::vector<RecordLoss>& records, double level = 0.95);

}  // namespace temper
