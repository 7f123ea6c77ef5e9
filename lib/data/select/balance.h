// How well a selection balances exploration and exploitation (Zeng et al., B-STaR, arXiv 2412.17256).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace temper {

// An answer to a query: what it says, the score that selects it, and whether it is right.
struct JudgedAnswer {
  std::string text;
  double score = 0;
  bool correct = false;
};

// bs = min(n' / n*, 1) n' / n, where n answers were selected, n' of them correct; 0 for none.
double balance_score(int64_t correct, int64_t selected, int64_t wanted);

// The answers of a query that are selected: each text once, by its highest score, those with a score above
// `threshold`, the `k` highest of them (0: all), equal scores in their order. The authors' code drops
// repeated texts last, so that they count among the k.
std::vector<JudgedAnswer> selected_answers(const std::vector<JudgedAnswer>& answers, double threshold,
                                           int64_t k);

// The mean over queries of the balance score of what is selected; a query of which nothing is selected has 0.
// No queries: 0.
double mean_balance(const std::vector<std::vector<JudgedAnswer>>& queries, double threshold, int64_t k,
                    int64_t wanted = 8);

}  // namespace temper
