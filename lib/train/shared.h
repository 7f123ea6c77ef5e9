// What the ranks of a run share out: each does its part, and all have the whole.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

#include "dist/ranks.h"
#include "reward/reward.h"
#include "rollout/engine.h"
#include "train/micro_batch.h"

namespace temper {

using Completions = std::vector<std::vector<Completion>>;  // [request][sample]

// Whole requests, so that a prompt is computed once for all its samples.
Completions shared_completions(
    Ranks& ranks, const std::vector<GenerateRequest>& requests,
    const std::function<Completions(const std::vector<GenerateRequest>&)>& generate);

std::vector<ScoredItem> shared_scores(
    Ranks& ranks, const std::vector<RewardItem>& items,
    const std::function<std::vector<ScoredItem>(const std::vector<RewardItem>&)>& score);

// Numbers of the targets of each micro-batch, fp32: this rank's are given, undefined ones come from the
// others.
void share_numbers(Ranks& ranks, const std::vector<MicroBatch>& batches, std::vector<at::Tensor>& numbers);

}  // namespace temper
