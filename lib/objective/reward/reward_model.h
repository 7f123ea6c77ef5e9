// Losses of reward models: pure functions of scores. formulas/rewards.md.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/fields.h"

namespace temper::objective {

// What one row of scores is: responses of pairs (row 2 i chosen, 2 i + 1 rejected), responses in groups,
// responses with attribute ratings, or steps of a solution. Rows that belong together (a pair, a group) stand
// in one micro-batch.
enum class RewardRows { kPairs, kGroups, kRated, kSteps };

struct RewardBatch {
  at::Tensor score;  // [S, A] fp32 or fp64, requires grad in training; A heads, most losses read one of them
  at::Tensor strength;  // [S / 2] pairs: how much better the chosen one is, 1 .. 3 in HelpSteer2
  at::Tensor group;     // [S] int64, any labels
  at::Tensor label;     // [S] groups and steps: 1 right, 0 wrong, NaN unknown (left out)
  at::Tensor target;    // [S, A] rated: what each head should say, NaN: not rated
  at::Tensor margin;    // [S / 2] pairs: what bt takes off the difference; undefined: nothing
};

struct RewardNeeds {
  RewardRows rows = RewardRows::kPairs;
  bool strength = false;
  bool margin = false;  // read where there is one
  int64_t head = 0;     // the one output that is read; of regression all are
};

// A loss's values over a batch; the step's loss is their sum over all micro-batches divided by the sum of
// `count`.
struct RewardTerms {
  at::Tensor sum;    // []
  double count = 0;  // pairs, groups with right and wrong, ratings, labelled steps
  // Sums over the same things, detached: divided by the step's count they are
  //   accuracy  share of pairs (also right-wrong pairs of a group, averaged by group) in the right order,
  //   strictly; of
  //             steps on the right side of 0
  //   margin    mean difference of the scores of a pair (or of right and wrong in a group)
  //   error     mean absolute error of a rating
  //   score     mean score (of the pair's two responses)
  std::map<std::string, at::Tensor> metrics;
};

class RewardLoss {
 public:
  virtual ~RewardLoss() = default;
  virtual RewardNeeds needs() const = 0;
  virtual RewardTerms operator()(const RewardBatch& batch) const = 0;
};

struct RewardLossOptions : Fields {
  virtual std::unique_ptr<RewardLoss> make() const = 0;
};
const Registry<RewardLossOptions>& reward_loss_registry();

// How the scores of a solution's steps become one: "min", "product" (of probabilities sigmoid(score)),
// "mean", "last". score [K], solution [K] int64 ascending -> [solutions]; a solution without steps gets 0.
at::Tensor aggregate_steps(const std::string& how, const at::Tensor& score, const at::Tensor& solution,
                           int64_t solutions);

}  // namespace temper::objective
