// What the policy objectives share: log-ratios, advantages and sums of tokens or sequences.
#pragma once

#include <ATen/core/Tensor.h>

#include "objective/math.h"
#include "objective/policy/policy.h"

namespace temper::objective {

// logp - logp_old, [M]. A broken promise (std::logic_error) when logp_old is missing.
at::Tensor log_ratio(const PolicyBatch& batch);

// token_advantage, or advantage of each token's sequence: [M] in logp's type.
at::Tensor advantage_per_token(const PolicyBatch& batch);

// advantage, [S] in logp's type. A broken promise when only a per-token advantage is given.
at::Tensor advantage_per_sequence(const PolicyBatch& batch);

// 1 where a response has tokens, else 0, in logp's type: [S]. An empty response adds nothing to any loss.
at::Tensor has_tokens(const PolicyBatch& batch);

// Whether a token is the first of its sequence: [M] bool.
at::Tensor first_tokens(const PolicyBatch& batch);

// Number of tokens of each sequence, at least 1, in logp's type: [S].
at::Tensor lengths_at_least_one(const PolicyBatch& batch);

// Sum and mean over each sequence's tokens: [M] -> [S]; 0 for an empty response.
at::Tensor sequence_sum(const PolicyBatch& batch, const at::Tensor& per_token);
at::Tensor sequence_mean(const PolicyBatch& batch, const at::Tensor& per_token);

// A detached 0/1 metric.
Metric share(const at::Tensor& condition, Unit unit, const PolicyBatch& batch);

// include as [S] in logp's type; ones when it is undefined.
at::Tensor included(const PolicyBatch& batch);

// A preset: the common defaults of PolicyAlgorithm under a name, with the given objective.
std::unique_ptr<PolicyAlgorithm> preset(const std::string& name,
                                        std::unique_ptr<PolicyObjectiveOptions> objective);

}  // namespace temper::objective
