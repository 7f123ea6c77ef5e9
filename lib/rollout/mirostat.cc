#include "rollout/mirostat.h"

#include <algorithm>
#include <cmath>

#include "rollout/distribution.h"

namespace temper {

int64_t mirostat_k(const std::vector<double>& largest, double mu, int64_t vocab) {
  constexpr size_t kTop = 100;
  double products = 0, squares = 0;
  for (size_t i = 0; i < kTop && i + 1 < largest.size() && largest[i + 1] > 0; ++i) {
    const double t = std::log(static_cast<double>(i + 2) / static_cast<double>(i + 1));
    products += t * std::log(largest[i] / largest[i + 1]);
    squares += t * t;
  }
  if (squares == 0) return 0;  // one token has all
  const double s = products / squares, e = s - 1, v = static_cast<double>(vocab);
  // e / (1 - v^-e), which goes to 1 / log v where e goes to 0.
  const double factor = std::abs(e) < 1e-9 ? 1 / std::log(v) : e / (1 - std::pow(v, -e));
  const double log_k = (std::log(factor) + mu * std::log(2.0)) / std::max(s, 1e-9);
  return std::llround(std::exp(std::clamp(log_k, -1.0, std::log(v))));
}

SampledToken sample_mirostat(float* logits, int64_t vocab, const SamplingOptions& options,
                             const SeenTokens& seen, const std::vector<int64_t>& banned, double uniform,
                             double& mu) {
  SamplingOptions whole = options;
  whole.mirostat_tau = 0;
  TokenDistribution distribution(logits, vocab, whole, seen, banned);
  TokenDistribution kept = distribution;
  kept.keep_top(mirostat_k(distribution.largest(101), mu, vocab) + 1);
  const SampledToken token = kept.draw(uniform);
  const double surprise = -std::log2(distribution.probability(token.id));
  mu -= options.mirostat_lr * (surprise - options.mirostat_tau);
  return token;
}

}  // namespace temper
