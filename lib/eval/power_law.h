// Coverage beyond what was sampled: the exponentiated power law of repeated sampling.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "base/statistics.h"

namespace temper {

// c(k) = exp(a k^b), the share of prompts that k samples solve (Large Language Monkeys, arXiv 2407.21787,
// equation 3); a <= 0.
struct CoverageLaw {
  double a = 0, b = 0;
  double at(double k) const;
};

// The law that is nearest to the points (k, coverage) in the sum of squares of c itself, as the paper fits it
// (scipy's curve_fit), not of log(-log c): that would weigh a coverage next to 1 without bound. By
// Levenberg's and Marquardt's method in (log(-a), b), from the straight line through log(-log c) over log k.
// nullopt where fewer than two of the points lie inside (0, 1): nothing bends there.
std::optional<CoverageLaw> fit_power_law(const std::vector<double>& k, const std::vector<double>& coverage);

// Where the law is fitted: 40 points evenly spaced over log k from 1 to `most`, rounded, each once.
std::vector<int64_t> law_points(int64_t most);

// Of prompts with n samples each, `correct` of which are: the law of mean pass@k, and pass@K for each of
// `beyond`, with the percentile bootstrap interval over prompts (1000 draws; the law is fitted anew to each).
// The interval says what other prompts would have given, and not how well the law holds beyond n.
struct ExtrapolatedCoverage {
  CoverageLaw law;
  double rms = 0;  // of the points' distances from the law
  int64_t points = 0, prompts = 0;
  std::vector<std::pair<double, Interval>> beyond;
};
// nullopt as fit_power_law().
std::optional<ExtrapolatedCoverage> extrapolate(int64_t n, const std::vector<int64_t>& correct,
                                                const std::vector<int64_t>& beyond, double level,
                                                uint64_t seed);

}  // namespace temper
