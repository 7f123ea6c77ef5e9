// What an evaluation says beyond its figures: coverage beyond the samples, a verifier's worth, break-downs.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/json_fwd.h"
#include "eval/figures.h"

namespace temper {

// What the options ask for, and no more:
//   "extrapolated": {"law": {"a", "b", "points", "rms"}, "prompts", "figures": {"pass@K": {"value", "low",
//     "high", "prompts"}}}, or {"none": why}; of the prompts all of whose samples could be judged
//     (power_law.h)
//   "verifier": {"name", "prompts", "false_positive_rate", "true_positive_rate", "correct_given_pass",
//   "cost",
//     "best": {"k", "value", "low", "high"}, "curve": [{"k", "true_accept", "false_accept", "value"}, ...]}
//     (weak_verifier.h), each share {"value", "low", "high", "prompts"}
//   "by": {column: {value: {"prompts", "figures"}, ...}, ...}, values in natural order
// Throws UserError for a column that no prompt has or that nearly all have a value of their own in, and for a
// verifier that there is not.
Json further_figures(const EvalResult& result, const PromptSamples& samples,
                     const std::vector<EvalPrompt>& prompts, const EvalOptions& options);

// The places of the prompts with each value of a column, "-" for those without, in natural order. Throws
// UserError for a column that none has, or that has more than 100 values.
std::vector<std::pair<std::string, std::vector<size_t>>> column_values(const std::vector<EvalPrompt>& prompts,
                                                                       const std::string& column);

// What of the options cannot be, before the long part; correct_by: the index of the reward that says what is
// correct, -1: the total. Throws UserError.
void check_further(const std::vector<std::string>& reward_names, int64_t correct_by,
                   const std::vector<EvalPrompt>& prompts, const EvalOptions& options);

}  // namespace temper
