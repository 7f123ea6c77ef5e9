#include "eval/power_law.h"

#include <algorithm>
#include <cmath>

#include "eval/draws.h"
#include "eval/metrics.h"

namespace temper {
namespace {

constexpr int64_t kDraws = 1000;
constexpr int64_t kPoints = 40;

double squares(const CoverageLaw& law, const std::vector<double>& k, const std::vector<double>& coverage) {
  double sum = 0;
  for (size_t i = 0; i < k.size(); ++i) sum += std::pow(coverage[i] - law.at(k[i]), 2);
  return sum;
}

// The line through log(-log c) over log k, of the points inside (0, 1).
std::optional<CoverageLaw> straight_line(const std::vector<double>& k, const std::vector<double>& coverage) {
  double n = 0, x = 0, y = 0, xx = 0, xy = 0;
  for (size_t i = 0; i < k.size(); ++i) {
    if (coverage[i] <= 0 || coverage[i] >= 1) continue;
    const double u = std::log(k[i]), v = std::log(-std::log(coverage[i]));
    n += 1, x += u, y += v, xx += u * u, xy += u * v;
  }
  const double spread = n * xx - x * x;
  if (n < 2 || spread <= 0) return std::nullopt;
  const double b = (n * xy - x * y) / spread;
  return CoverageLaw{-std::exp((y - b * x) / n), b};
}

}  // namespace

double CoverageLaw::at(double k) const {
  return std::exp(a * std::pow(k, b));
}

std::optional<CoverageLaw> fit_power_law(const std::vector<double>& k, const std::vector<double>& coverage) {
  const auto start = straight_line(k, coverage);
  if (!start) return std::nullopt;
  double log_a = std::log(-start->a), b = start->b, damping = 1e-3;
  double error = squares(*start, k, coverage);
  for (int step = 0; step < 200; ++step) {
    // With z = exp(log_a + b log k): c = exp(-z), dc/dlog_a = -z c, dc/db = -z c log k.
    double aa = 0, ab = 0, bb = 0, ga = 0, gb = 0;
    for (size_t i = 0; i < k.size(); ++i) {
      const double u = std::log(k[i]), z = std::exp(log_a + b * u), c = std::exp(-z);
      const double da = -z * c, db = da * u, rest = coverage[i] - c;
      aa += da * da, ab += da * db, bb += db * db, ga += da * rest, gb += db * rest;
    }
    const double p = aa * (1 + damping), q = bb * (1 + damping), determinant = p * q - ab * ab;
    if (!(determinant > 0)) break;
    const double step_a = (q * ga - ab * gb) / determinant, step_b = (p * gb - ab * ga) / determinant;
    const CoverageLaw next{-std::exp(log_a + step_a), b + step_b};
    const double next_error = squares(next, k, coverage);
    if (next_error <= error) {
      const bool settled = std::abs(step_a) + std::abs(step_b) < 1e-12;
      log_a += step_a, b += step_b, error = next_error, damping /= 10;
      if (settled) break;
    } else {
      damping *= 10;
      if (damping > 1e12) break;
    }
  }
  return CoverageLaw{-std::exp(log_a), b};
}

std::vector<int64_t> law_points(int64_t most) {
  std::vector<int64_t> out;
  for (int64_t i = 0; i < kPoints; ++i) {
    const double share = static_cast<double>(i) / (kPoints - 1);
    const auto k = static_cast<int64_t>(std::llround(std::exp(share * std::log(static_cast<double>(most)))));
    if (out.empty() || k > out.back()) out.push_back(k);
  }
  return out;
}

std::optional<ExtrapolatedCoverage> extrapolate(int64_t n, const std::vector<int64_t>& correct,
                                                const std::vector<int64_t>& beyond, double level,
                                                uint64_t seed) {
  const std::vector<int64_t> points = law_points(n);
  const std::vector<double> k(points.begin(), points.end());
  std::vector<std::vector<double>> passes;  // [prompt][point]
  for (const int64_t c : correct) {
    passes.emplace_back();
    for (const int64_t point : points) passes.back().push_back(pass_at_k(n, c, point));
  }
  const auto coverage_of = [&](const std::vector<int64_t>& prompts) {
    std::vector<double> out(k.size());
    for (const int64_t p : prompts) {
      for (size_t i = 0; i < k.size(); ++i) out[i] += passes[static_cast<size_t>(p)][i];
    }
    for (double& c : out) c /= static_cast<double>(prompts.size());
    return out;
  };
  std::vector<int64_t> all;
  for (size_t p = 0; p < correct.size(); ++p) all.push_back(static_cast<int64_t>(p));
  const std::vector<double> coverage = all.empty() ? std::vector<double>() : coverage_of(all);
  const auto law = all.empty() ? std::nullopt : fit_power_law(k, coverage);
  if (!law) return std::nullopt;
  ExtrapolatedCoverage out{*law,
                           std::sqrt(squares(*law, k, coverage) / static_cast<double>(k.size())),
                           static_cast<int64_t>(k.size()),
                           static_cast<int64_t>(correct.size()),
                           {}};

  std::vector<std::vector<double>> draws(beyond.size());  // [K][draw]
  bootstrap(out.prompts, kDraws, seed, "power law", [&](const std::vector<int64_t>& picked) {
    const std::vector<double> drawn = coverage_of(picked);
    const auto fitted = fit_power_law(k, drawn);
    // Where nothing bends, all points are 0, or the last ones 1.
    for (size_t i = 0; i < beyond.size(); ++i)
      draws[i].push_back(fitted ? fitted->at(static_cast<double>(beyond[i])) : drawn.back());
    return 0.0;
  });
  for (size_t i = 0; i < beyond.size(); ++i)
    out.beyond.emplace_back(law->at(static_cast<double>(beyond[i])), weighted_interval(draws[i], {}, level));
  return out;
}

}  // namespace temper
