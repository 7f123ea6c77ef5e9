// What a verifier that errs is worth: resampling until it passes an answer (Inference Scaling fLaws, arXiv
// 2411.17501).
#pragma once

#include <cstdint>
#include <vector>

#include "base/statistics.h"

namespace temper {

// The samples of a prompt, by what the verifier and the strong check say of them.
struct VerifiedPrompt {
  int64_t samples = 0;
  int64_t passes_right = 0, passes_wrong = 0;  // the verifier passes them
  int64_t right = 0;                           // the strong check does
};

struct ShareFigure {
  double value = 0;
  Interval interval;
  int64_t prompts = 0;  // that have any of what it is a share of; 0: there is no such share
};

// What comes of drawing up to k samples of each prompt, taking the first that the verifier passes.
struct VerifiedAttempts {
  int64_t k = 0;
  ShareFigure true_accept, false_accept;  // of prompts; the rest end without an answer
  double value = 0;   // mean over prompts of P(true accept) - cost P(false accept); to abstain is worth 0
  Interval interval;  // of value, Student's t over prompts
};

struct WeakVerifier {
  ShareFigure false_positive_rate;      // P(pass | wrong)
  ShareFigure true_positive_rate;       // P(pass | right)
  ShareFigure correct_given_pass;       // P(right | pass): what one pass is worth
  std::vector<VerifiedAttempts> curve;  // k from 1 to the smallest number of samples of a prompt
  int64_t best_k = 0;                   // where `value` is largest; the smallest such; 0: to abstain is best
  double best_value = 0;
};

// Each prompt has a sample. Of the n samples of a prompt, in an order that is drawn, one passes among the
// first k with the chance pass@k of n and the passes, and of the passes each is as likely to be the first; so
// the curve is unbiased. The shares are ratios of sums over all samples, their intervals ratio_interval()'s.
WeakVerifier judge_verifier(const std::vector<VerifiedPrompt>& prompts, double cost, double level);

// For sum(x) / sum(m), x of m being such in each prompt: the Beta interval of as many independent trials as
// have the variance that the ratio shows, by its linear approximation (x_i - ratio m_i) / sum(m); at least
// one for each prompt that has any, at most sum(m). No trials: [0, 1].
Interval ratio_interval(const std::vector<double>& x, const std::vector<double>& m, double level);

}  // namespace temper
