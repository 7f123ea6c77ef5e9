// The truncations: which tokens may still come. formulas/sampling.md.
#pragma once

#include <cstdint>
#include <vector>

#include "rollout/sampler.h"
#include "rollout/token_weights.h"

namespace temper {

// A token that may still come.
struct TokenCandidate {
  int32_t id;
  float scaled;   // (logit - max) / temperature
  double weight;  // exp(scaled)
  double key;     // scratch of the filters that keep "the first of them up to a sum"
};
using TokenCandidates = std::vector<TokenCandidate>;  // ids ascending

// Tokens with logits >= floor and some weight.
TokenCandidates candidates_from(const float* logits, int64_t n, const TokenWeights& weights, float floor);

double total_weight(const TokenCandidates& candidates);

// What the options' truncations leave, in the order that formulas/sampling.md gives; each sees the survivors
// renormalised.
TokenCandidates truncate(const float* logits, int64_t n, const TokenWeights& weights,
                         const SamplingOptions& options);

}  // namespace temper
