// Which of two models is better, from what both did on the same prompts.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "base/statistics.h"

namespace temper {

// Prompts by who was right: theta_A = both + first, and so on. Counts, or shares of them.
struct PairedTable {
  double both = 0, first = 0, second = 0, neither = 0;
  double prompts() const { return both + first + second + neither; }
};

// What is known of a difference, A less B.
struct Difference {
  double value = 0;         // as observed
  Interval interval;        // credible, equal-tailed
  double first_better = 0;  // P(A > B)
};

// Of accuracies, paired, under the model of Bowyer, Aitchison and Ivanova ("Don't use the CLT in LLM evals
// with fewer than a few hundred datapoints", arXiv 2503.01747, section 3.4): theta_A, theta_B ~ U(0, 1),
// rho = 2 Beta(4, 2) - 1, both right with the chance of a bivariate normal of correlation rho, the table
// multinomial. By importance sampling from the stream (seed, "paired comparison"). The paper draws from the
// prior, of which next to nothing is left for a large table; here half of the draws come from
// Beta(1 + right, 1 + wrong) of each model and the prior's rho, the other half from Dirichlet(1 + table),
// whose cells say which rho it is, and each is weighed by both (Veach's balance heuristic).
Difference compare_paired(const PairedTable& table, double level, uint64_t seed, int64_t draws = 20000);

// Of accuracies on different prompts: Monte Carlo of Beta(1 + right, 1 + wrong) of each model (section 3.3),
// from the stream (seed, "unpaired comparison").
Difference compare_unpaired(double first_right, double first_wrong, double second_right, double second_wrong,
                            double level, uint64_t seed, int64_t draws = 20000);

// Of any number, from its difference on each prompt, at least one: the Bayesian bootstrap (Rubin, The Annals
// of Statistics 9, 1981): weights over the prompts drawn from Dirichlet(1, ..., 1), from the stream (seed,
// "bootstrap comparison", draw). Draws in which the two are equal count half. Of few prompts the interval is
// a little short: of 20, one of 95 % holds the truth 89 times in a hundred.
Difference compare_numbers(const std::vector<double>& differences, double level, uint64_t seed,
                           int64_t draws = 10000);

// The table of prompts with several samples of each model, from the shares (A's, B's) that are correct. The
// samples of two models are independent once the prompt is given, so a prompt with shares a and b adds a b to
// `both`. More samples say more: the counts are multiplied by how many times smaller the variance of a - b
// over prompts is than that of a single pair of samples, at least 1 and at most `samples`, the smaller number
// that a prompt has. One sample each: the counts themselves.
PairedTable paired_table(const std::vector<std::pair<double, double>>& shares, int64_t samples);

}  // namespace temper
