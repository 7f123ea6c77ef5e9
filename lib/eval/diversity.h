// How different several completions of one prompt are, by their tokens.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "rollout/completion.h"

namespace temper {

// The policy's tokens of a completion; no turns: all are the policy's.
std::vector<int64_t> own_tokens(const std::vector<int64_t>& ids, const std::vector<Turn>& turns);

// The share of texts that are different from all before them, in (0, 1]; there must be one.
double distinct_share(const std::vector<std::vector<int64_t>>& texts);

// [n, n] float64: cosine similarities of the texts' counts of single tokens and of pairs of neighbours, in
// one vector. Empty texts are equal to each other and have nothing in common with others.
at::Tensor ngram_similarities(const std::vector<std::vector<int64_t>>& texts);

// The Vendi score (Friedman and Dieng, arXiv 2210.02410), the effective number of different texts:
//   exp(-sum_i l_i log l_i), l the eigenvalues of K / n, K = ngram_similarities().
// 1: all are the same; n: no two have a token in common.
double vendi_score(const std::vector<std::vector<int64_t>>& texts);

}  // namespace temper
