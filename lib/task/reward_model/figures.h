// What held-out scores say about a reward model: accuracy by margin, calibration, examples.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "task/reward_model/data.h"
#include "train/evaluation.h"

namespace temper {

class Session;

// Of the comparisons (pairs, right against wrong of a group) or else of the labelled steps, from scores [R,
// A] of all rows of the units, in order:
//   accuracy      share in the right order (steps: on the right side of 0), with low, high and n
//   by_margin/<low>-<high>, by_margin_n/...      the same where the scores differ by so much
//   by_strength/<s>, by_strength_n/<s>           the same where the data says that the chosen is so much
//   better calibration/<i>/predicted, observed, n       bins of the predicted probability: of a comparison
//   sigmoid of
//                                                the difference, that of the one predicted (0.5 .. 1); of a
//                                                step sigmoid of its score (0 .. 1)
//   calibration_error                            expected calibration error over these ten bins
// Nothing when there is neither.
void add_figures(const objective::RewardObjective& objective, const std::vector<const ScoredUnit*>& units,
                 const at::Tensor& scores, Evaluation& out);

// The first answers and their scores, as samples.
void add_samples(const Session& session, const ScoredStep& step, const at::Tensor& scores, Evaluation& out);

}  // namespace temper
