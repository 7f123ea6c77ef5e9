#include "eval/metrics.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "base/error.h"

namespace temper {
namespace {

void check_counts(int64_t n, int64_t c, int64_t k) {
  if (k < 1 || k > n || c < 0 || c > n) bug("statistics of {} samples, {} correct, at k = {}", n, c, k);
}

double log_choose(int64_t n, int64_t k) {
  int sign = 0;  // lgamma() keeps its sign in a global
  const auto log_gamma = [&](int64_t x) { return ::lgamma_r(static_cast<double>(x) + 1.0, &sign); };
  return log_gamma(n) - log_gamma(k) - log_gamma(n - k);
}

// Of k drawn without replacement from n with c correct, the chance that at least `least` are correct.
double at_least(int64_t n, int64_t c, int64_t k, int64_t least) {
  double sum = 0;
  for (int64_t j = std::max(least, k - (n - c)); j <= std::min(c, k); ++j) {
    sum += std::exp(log_choose(c, j) + log_choose(n - c, k - j) - log_choose(n, k));
  }
  return std::clamp(sum, 0.0, 1.0);
}

}  // namespace

double pass_at_k(int64_t n, int64_t c, int64_t k) {
  check_counts(n, c, k);
  if (n - c < k) return 1.0;
  double all_wrong = 1.0;
  for (int64_t i = n - c + 1; i <= n; ++i) all_wrong *= 1.0 - static_cast<double>(k) / static_cast<double>(i);
  return 1.0 - all_wrong;
}

double g_pass_at_k(int64_t n, int64_t c, int64_t k, double tau) {
  check_counts(n, c, k);
  const double need = std::ceil(tau * static_cast<double>(k) - 1e-9);  // 0.7 * 10 is a little above 7
  return at_least(n, c, k, std::max<int64_t>(1, static_cast<int64_t>(need)));
}

double mg_pass_at_k(int64_t n, int64_t c, int64_t k) {
  check_counts(n, c, k);
  double sum = 0;
  for (int64_t i = (k + 1) / 2 + 1; i <= k; ++i) sum += at_least(n, c, k, i);
  return 2.0 * sum / static_cast<double>(k);
}

std::optional<std::string> majority(const std::vector<Vote>& votes) {
  std::map<std::string, int64_t> counts;
  for (const Vote& vote : votes) {
    if (vote.answer) ++counts[*vote.answer];
  }
  const Vote* best = nullptr;
  for (const Vote& vote : votes) {
    if (vote.answer && (best == nullptr || counts[*vote.answer] > counts[*best->answer])) best = &vote;
  }
  return best == nullptr ? std::nullopt : best->answer;
}

double maj_at_k(const std::vector<Vote>& votes, int64_t k) {
  const auto n = static_cast<int64_t>(votes.size());
  check_counts(n, 0, k);
  int64_t right = 0;
  for (int64_t begin = 0; begin + k <= n; begin += k) {
    const std::vector<Vote> block(votes.begin() + begin, votes.begin() + begin + k);
    const auto winner = majority(block);
    const auto first = std::find_if(block.begin(), block.end(),
                                    [&](const Vote& vote) { return winner && vote.answer == winner; });
    if (first != block.end() && first->correct) ++right;
  }
  return static_cast<double>(right) / static_cast<double>(n / k);
}

}  // namespace temper
