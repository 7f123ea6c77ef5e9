// What evaluations with several budgets of thinking say together.
#pragma once

#include <cstdint>
#include <vector>

#include "eval/evaluate.h"

namespace temper {

// Ascending, each once.
std::vector<int64_t> sorted_budgets(std::vector<int64_t> budgets);

// Normalised cumulative regret up to each budget b_i, of one who could have answered at any time: with J(b)
// the share of right answers at a budget of b tokens,
//   regret(b_i) = 1/b_i integral from 0 to b_i of (1 - J(b)) db,
// J linear between the budgets and 0 at 0 tokens. 0: right from the first token on; 1: never. The definition
// of MRT (arXiv 2503.07572, section 3) as its code computes it (CMU-AIRe/MRT, analysis/code/regret.ipynb),
// which takes what the answers took for b where this takes the budget. budgets: as sorted_budgets() gives
// them; shares: one for each.
std::vector<double> cumulative_regret(const std::vector<int64_t>& budgets, const std::vector<double>& shares);

// Of one evaluation a budget, with the same prompts: figures "accuracy@b", "length@b" (tokens of the policy),
// where they were asked for "distinct@b" and "vendi@b", and "regret@b" (the mean over prompts that have an
// accuracy at all budgets, with Student's t interval). Samples, nulls and tokens are those of all
// evaluations.
struct BudgetedResult {
  std::vector<Figure> figures;
  int64_t prompts = 0, samples = 0, nulls = 0, tokens = 0;
  Json to_json() const;  // as EvalResult::to_json
};
BudgetedResult over_budgets(const std::vector<int64_t>& budgets, const std::vector<EvalResult>& results,
                            double level);

}  // namespace temper
