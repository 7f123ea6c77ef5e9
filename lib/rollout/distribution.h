// What one token is drawn from: a row of logits after penalties and bans, at a temperature, truncated.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "grammar/constraint.h"
#include "rollout/sampler.h"
#include "rollout/truncation.h"

namespace temper {

class TokenDistribution {
 public:
  // Of logits [vocab], which are edited in place and must outlive this; the other arguments and what it
  // throws: as sample_token(). allowed: all others are ruled out, before what is left is truncated; null:
  // none.
  TokenDistribution(float* logits, int64_t vocab, const SamplingOptions& options, const SeenTokens& seen,
                    const std::vector<int64_t>& banned, const AllowedTokens* allowed = nullptr);

  // Rules out all tokens but these. Not of a truncated distribution.
  void restrict_to(const AllowedTokens& allowed);

  // The lowest id whose cumulated probability exceeds `uniform` in [0, 1). Greedy: the largest logit.
  SampledToken draw(double uniform) const;
  // A token with its log-probs.
  SampledToken token(int64_t id) const;
  // Greedy: 1 for the largest logit.
  double probability(int64_t id) const;
  std::vector<float> probabilities() const;  // [vocab]
  // Of the most probable token; greedy: at temperature 1.
  double highest() const { return 1 / sum_; }
  bool greedy() const { return greedy_; }
  // Of the logits as they are now; not of a truncated distribution.
  const TokenWeights& weights() const { return weights_; }

  // The n largest probabilities, descending.
  std::vector<double> largest(int64_t n) const;
  // Leaves the k most probable tokens, and those as probable as the last of them.
  void keep_top(int64_t k);

 private:
  int64_t best() const;

  float* logits_;
  int64_t vocab_;
  double temperature_;  // greedy: 1
  bool greedy_, truncated_ = false;
  std::vector<std::pair<int64_t, float>> before_;  // logits that were edited, as they were
  TokenWeights full_, weights_;                    // before and after the edits
  TokenCandidates candidates_;                     // when truncated
  double sum_ = 0;                                 // of what may come
  double log_allowed_ = 0;                         // of the share that restrict_to has left
};

// One draw from norm(max(p - q, 0)) (Leviathan et al. 2022, arXiv 2211.17192): what stands in the place of a
// token drawn from q that p has refused. Where p nowhere exceeds q but for rounding, a draw from p.
int64_t draw_residual(const std::vector<float>& p, const std::vector<float>& q, double uniform);
// The lowest id whose cumulated probability exceeds uniform * the sum.
int64_t draw_from(const std::vector<float>& probabilities, double uniform);

}  // namespace temper
