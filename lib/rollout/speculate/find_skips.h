// The search for the sub-layers that a model can do without in its own drafts (Draft & Verify, arXiv
// 2309.08168).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/json_fwd.h"
#include "rollout/speculate/skip.h"

namespace temper {

struct SkipTrial {
  std::vector<int64_t> attention, mlp;  // layers that are skipped
  double speed_up = 1;                  // see find_skips
  double accepted = 0;                  // share of the drafted tokens
  Json to_json() const;                 // as `speculation` of kind "skip" reads it
};

// The part of a pass's weights that is read when these are skipped; the head is never skipped.
double cost_without(const ModelConfig& config, const SkipTrial& trial);

// The best of `trials` sets of sub-layers, by decoding the requests with each. What is compared is tokens by
// the work of a pass over the whole model: tokens / (passes + drafted * cost_without), as counted, so that
// the same call finds the same set on every machine; a clock would also weigh what else the machine does. It
// takes the pass that verifies some tokens to cost as much as one over a single token, which holds while
// weights are what is waited for. A third of the sets are drawn at random, the others are the best one with
// up to three sub-layers changed. The paper's Bayesian optimisation needs a Gaussian process over 2 layers
// numbers for the same kind of steps. on_trial: each set and the best so far; it may throw to stop. Throws
// UserError for a model of one layer.
SkipTrial find_skips(
    Model& model, const Tokenizer& tokenizer, const std::vector<GenerateRequest>& requests,
    const SamplingOptions& sampling, const EngineOptions& engine, int64_t trials,
    const std::function<void(int64_t trial, const SkipTrial& tried, const SkipTrial& best)>& on_trial = {});

}  // namespace temper
