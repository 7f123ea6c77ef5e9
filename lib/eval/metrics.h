// The statistics of repeated sampling, over plain numbers. Formulas: formulas/evaluation.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/statistics.h"

namespace temper {

// Of n samples of a prompt, c are correct; all take 1 <= k <= n and 0 <= c <= n (std::logic_error otherwise).

// Unbiased pass@k, 1 - C(n-c,k)/C(n,k), as the product 1 - prod_{i=n-c+1..n} (1 - k/i) (arXiv 2107.03374).
double pass_at_k(int64_t n, int64_t c, int64_t k);

// G-Pass@k_tau (arXiv 2412.13147): the chance that of k samples drawn without replacement at least max(1,
// ceil(tau k)) are correct.
double g_pass_at_k(int64_t n, int64_t c, int64_t k, double tau);

// mG-Pass@k: (2/k) sum_{i=ceil(k/2)+1..k} G-Pass@k_{i/k}.
double mg_pass_at_k(int64_t n, int64_t c, int64_t k);

// One sample, as majority voting sees it.
struct Vote {
  std::optional<std::string> answer;  // none: no vote
  bool correct = false;
};

// The most frequent answer of the votes; of equally frequent ones, the one that was first given earliest.
// nullopt when nobody voted.
std::optional<std::string> majority(const std::vector<Vote>& votes);

// maj@k: the share of the floor(n/k) disjoint blocks of k samples, in order, whose majority is correct (as
// the first sample that gave it is).
double maj_at_k(const std::vector<Vote>& votes, int64_t k);

}  // namespace temper
