// What the ranks of a run share out: each does its part, and all have the whole.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <stdexcept>
#include <vector>

#include "dist/ranks.h"
#include "reward/reward.h"
#include "rollout/engine.h"
#include "train/micro_batch.h"

namespace temper {

using Completions = std::vector<std::vector<Completion>>;  // [request][sample]

// A signal came while a rank did its part.
class SignalSeen : public std::runtime_error {
 public:
  explicit SignalSeen(int signal) : std::runtime_error("a signal"), signal(signal) {}
  int signal;
};
// Called on all ranks with the signal that one of them has seen; it throws.
using StopAll = std::function<void(int signal)>;

// Whole requests, so that a prompt is computed once for all its samples.
using Generate = std::function<Completions(const std::vector<GenerateRequest>&)>;
Completions shared_completions(Ranks& ranks, const std::vector<GenerateRequest>& requests,
                               const Generate& generate, const StopAll& stop);

// The parts of scores alone: what counts and the totals follow from all of them, RewardSet::settle().
using ScoreAll = std::function<std::vector<ScoredItem>(const std::vector<RewardItem>&)>;
std::vector<ScoredItem> shared_scores(Ranks& ranks, const std::vector<RewardItem>& items,
                                      const ScoreAll& score, const StopAll& stop);
// The same for units of several items each: `score` gives the items of the units that are mine() of this
// rank, unit after unit; the result holds those of all units.
std::vector<ScoredItem> shared_scores(Ranks& ranks, const std::vector<size_t>& unit_sizes,
                                      const std::function<std::vector<ScoredItem>()>& score,
                                      const StopAll& stop);

// Numbers of the items of a list, sizes[i] of them, fp32: those of items that are mine() of this rank are
// given, undefined ones come from the others, as [sizes[i]] on the host. With one rank nothing changes.
void share_numbers(Ranks& ranks, const std::vector<int64_t>& sizes, std::vector<at::Tensor>& numbers);
// One for each target of each micro-batch.
void share_numbers(Ranks& ranks, const std::vector<MicroBatch>& batches, std::vector<at::Tensor>& numbers);

// Which of these leaves the passes of some rank have reached, in their order; a rank that has not reached one
// gets a gradient of zeros.
std::vector<bool> with_gradients_of_any(Ranks& ranks, const std::vector<at::Tensor>& leaves);
// Every rank gets the sums of all ranks' gradients. What no rank has reached keeps none.
void sum_gradients(Ranks& ranks, const std::vector<at::Tensor>& leaves);

}  // namespace temper
