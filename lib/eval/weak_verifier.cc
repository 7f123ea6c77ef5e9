#include "eval/weak_verifier.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "eval/metrics.h"

namespace temper {
namespace {

ShareFigure ratio(const std::vector<VerifiedPrompt>& prompts, int64_t (*part)(const VerifiedPrompt&),
                  int64_t (*whole)(const VerifiedPrompt&), double level) {
  std::vector<double> x, m;
  double parts = 0, wholes = 0;
  for (const VerifiedPrompt& p : prompts) {
    if (whole(p) == 0) continue;
    x.push_back(static_cast<double>(part(p)));
    m.push_back(static_cast<double>(whole(p)));
    parts += x.back();
    wholes += m.back();
  }
  return {x.empty() ? 0.0 : parts / wholes, ratio_interval(x, m, level), static_cast<int64_t>(x.size())};
}

VerifiedAttempts attempts(const std::vector<VerifiedPrompt>& prompts, int64_t k, double cost, double level) {
  std::vector<double> right, wrong, values;
  int64_t samples = 0;
  for (const VerifiedPrompt& p : prompts) {
    const int64_t passes = p.passes_right + p.passes_wrong;
    const double accepts = pass_at_k(p.samples, passes, k);
    const double share =
        passes == 0 ? 0.0 : static_cast<double>(p.passes_right) / static_cast<double>(passes);
    right.push_back(accepts * share);
    wrong.push_back(accepts * (1 - share));
    values.push_back(right.back() - cost * wrong.back());
    samples = std::max(samples, p.samples);
  }
  const auto count = static_cast<int64_t>(prompts.size());
  return {k,
          {mean(right), share_interval(right, samples / k, level), count},
          {mean(wrong), share_interval(wrong, samples / k, level), count},
          mean(values),
          mean_interval(values, level)};
}

}  // namespace

WeakVerifier judge_verifier(const std::vector<VerifiedPrompt>& prompts, double cost, double level) {
  using P = VerifiedPrompt;
  WeakVerifier out;
  const auto wrong = [](const P& p) { return p.samples - p.right; };
  const auto right = [](const P& p) { return p.right; };
  const auto passes_right = [](const P& p) { return p.passes_right; };
  const auto passes_wrong = [](const P& p) { return p.passes_wrong; };
  const auto passes = [](const P& p) { return p.passes_right + p.passes_wrong; };
  out.false_positive_rate = ratio(prompts, passes_wrong, wrong, level);
  out.true_positive_rate = ratio(prompts, passes_right, right, level);
  out.correct_given_pass = ratio(prompts, passes_right, passes, level);
  int64_t most = prompts.empty() ? 0 : prompts.front().samples;
  for (const P& p : prompts) {
    if (p.samples < 1 || p.right > p.samples || p.passes_right > p.right || p.passes_wrong > wrong(p))
      bug("judge_verifier: {} samples, {} right, {} and {} pass", p.samples, p.right, p.passes_right,
          p.passes_wrong);
    most = std::min(most, p.samples);
  }
  for (int64_t k = 1; k <= most; ++k) {
    out.curve.push_back(attempts(prompts, k, cost, level));
    if (out.curve.back().value > out.best_value) {
      out.best_value = out.curve.back().value;
      out.best_k = k;
    }
  }
  return out;
}

Interval ratio_interval(const std::vector<double>& x, const std::vector<double>& m, double level) {
  double parts = 0, wholes = 0, squares = 0;
  for (size_t i = 0; i < x.size(); ++i) parts += x[i], wholes += m[i];
  if (wholes <= 0) return {0.0, 1.0};
  const double p = parts / wholes;
  for (size_t i = 0; i < x.size(); ++i) squares += std::pow(x[i] - p * m[i], 2);
  const auto prompts = static_cast<double>(x.size());
  const double variance = squares / (wholes * wholes);
  // All alike: nothing tells how much the trials of one prompt have in common.
  const double size = variance > 0 ? std::clamp(p * (1 - p) / variance, prompts, wholes) : prompts;
  return beta_interval(p * size, (1 - p) * size, level);
}

}  // namespace temper
