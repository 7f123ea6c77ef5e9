// Mirostat (Basu et al. 2020, arXiv 2007.14966): each token is drawn from the k most probable ones, k chosen
// so that the mean surprise of a text, in bits, stays at a target.
#pragma once

#include <cstdint>
#include <vector>

#include "rollout/sampler.h"

namespace temper {

// The k whose tokens are expected to surprise by mu bits, where probabilities fall off as Zipf's law with the
// exponent that `largest` shows (descending, up to 101 of them). Within [0, vocab].
int64_t mirostat_k(const std::vector<double>& largest, double mu, int64_t vocab);

// As sample_token, of the mirostat_k + 1 most probable tokens, as the authors' code has it. mu: the bound in
// bits, 2 mirostat_tau before a text's first token; it is moved by mirostat_lr times how far the token's
// surprise lies from mirostat_tau, by its probability before the truncation.
SampledToken sample_mirostat(float* logits, int64_t vocab, const SamplingOptions& options,
                             const SeenTokens& seen, const std::vector<int64_t>& banned, double uniform,
                             double& mu);

}  // namespace temper
