// Means, intervals and the beta function, over plain numbers.
#pragma once

#include <cstdint>
#include <vector>

namespace temper {

struct Interval {
  double low = 0, high = 0;
};

// The equal-tailed credible interval of Beta(1 + correct, 1 + wrong), the posterior of a share under a flat
// prior (arXiv 2503.01747). The counts may be fractions of samples.
Interval beta_interval(double correct, double wrong, double level = 0.95);

// For the mean of shares in [0, 1], one a prompt, each of `samples` samples: the Beta interval of as many
// independent samples as have the variance that the shares show, at least one and at most `samples` a prompt.
// With one sample a prompt it is the Beta interval itself. No shares: [0, 1].
Interval share_interval(const std::vector<double>& shares, int64_t samples = 1, double level = 0.95);

// Student's t interval of the mean; infinite for fewer than two values.
Interval mean_interval(const std::vector<double>& values, double level = 0.95);

double mean(const std::vector<double>& values);  // 0 for none

// The regularised incomplete beta function I_x(a, b), a, b > 0, and its inverse in x.
double incomplete_beta(double a, double b, double x);
double incomplete_beta_inverse(double a, double b, double p);

}  // namespace temper
