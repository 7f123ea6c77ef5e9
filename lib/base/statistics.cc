#include "base/statistics.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace temper {
namespace {

// The continued fraction of the incomplete beta function, by Lentz's method (Numerical Recipes, 6.4).
double beta_fraction(double a, double b, double x) {
  constexpr double kTiny = 1e-300, kPrecise = 1e-16;
  double c = 1.0, d = 1.0 - (a + b) * x / (a + 1.0);
  if (std::abs(d) < kTiny) d = kTiny;
  d = 1.0 / d;
  double h = d;
  for (int m = 1; m <= 100000; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    double change = 1.0;
    for (const double step : {even, odd}) {
      d = 1.0 + step * d;
      c = 1.0 + step / c;
      if (std::abs(d) < kTiny) d = kTiny;
      if (std::abs(c) < kTiny) c = kTiny;
      d = 1.0 / d;
      change = d * c;
      h *= change;
    }
    if (std::abs(change - 1.0) < kPrecise) break;
  }
  return h;
}

// The quantile of Student's t with `freedom` degrees, for p > 1/2.
double t_quantile(double p, double freedom) {
  const double x = incomplete_beta_inverse(freedom / 2, 0.5, 2 * (1 - p));
  return std::sqrt(freedom * (1 - x) / x);
}

}  // namespace

Interval beta_interval(double correct, double wrong, double level) {
  const double tail = (1.0 - level) / 2;
  return {incomplete_beta_inverse(1 + correct, 1 + wrong, tail),
          incomplete_beta_inverse(1 + correct, 1 + wrong, 1.0 - tail)};
}

Interval share_interval(const std::vector<double>& shares, int64_t samples, double level) {
  const auto prompts = static_cast<double>(shares.size());
  if (shares.empty()) return {0.0, 1.0};
  const double p = mean(shares);
  double squares = 0;
  for (const double x : shares) squares += (x - p) * (x - p);
  // The variance of the mean is p(1-p)/size for `size` independent samples.
  const double variance = squares / (prompts * prompts);
  const double size = variance > 0 ? p * (1 - p) / variance : prompts * static_cast<double>(samples);
  const double most = p > 0 && p < 1 ? prompts * static_cast<double>(samples) : prompts;
  const double used = std::clamp(size, prompts, most);
  return beta_interval(p * used, (1 - p) * used, level);
}

Interval mean_interval(const std::vector<double>& values, double level) {
  const auto n = static_cast<double>(values.size());
  const double m = mean(values);
  if (values.size() < 2)
    return {-std::numeric_limits<double>::infinity(), std::numeric_limits<double>::infinity()};
  double squares = 0;
  for (const double x : values) squares += (x - m) * (x - m);
  const double half = t_quantile(0.5 + level / 2, n - 1) * std::sqrt(squares / (n - 1) / n);
  return {m - half, m + half};
}

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double x : values) sum += x;
  return values.empty() ? 0.0 : sum / static_cast<double>(values.size());
}

double incomplete_beta(double a, double b, double x) {
  if (!(a > 0) || !(b > 0)) bug("incomplete_beta({}, {})", a, b);
  if (x <= 0) return 0.0;
  if (x >= 1) return 1.0;
  int sign = 0;
  const double log_front = ::lgamma_r(a + b, &sign) - ::lgamma_r(a, &sign) - ::lgamma_r(b, &sign) +
                           a * std::log(x) + b * std::log1p(-x);
  // The fraction converges fast on the side of the mean where x is small.
  if (x < (a + 1) / (a + b + 2)) return std::exp(log_front) * beta_fraction(a, b, x) / a;
  return 1.0 - std::exp(log_front) * beta_fraction(b, a, 1.0 - x) / b;
}

double incomplete_beta_inverse(double a, double b, double p) {
  if (p <= 0) return 0.0;
  if (p >= 1) return 1.0;
  // Bisection over the doubles in [0, 1]: their bits are in their order, so 62 steps reach the last bit of
  // any of them.
  uint64_t low = 0, high = std::bit_cast<uint64_t>(1.0);
  while (high - low > 1) {
    const uint64_t middle = low + (high - low) / 2;
    (incomplete_beta(a, b, std::bit_cast<double>(middle)) < p ? low : high) = middle;
  }
  return std::bit_cast<double>(high);
}

}  // namespace temper
