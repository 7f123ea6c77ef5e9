// Selectors over evaluated answers: what they choose, and how often it is correct.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "eval/evaluate.h"
#include "eval/select/select.h"

namespace temper {

// Candidate::scores.
std::map<std::string, std::optional<double>> scores_by_name(const std::vector<std::string>& names,
                                                            const ScoredItem& scored);

// The answers of each prompt as selectors see them, in the order of the samples.
std::vector<Ballot> ballots_of(const EvalResult& result, const std::vector<EvalPrompt>& prompts);

// Runs the selectors over evaluated samples, marks those that each chooses (EvalSample::selected_by), and
// appends to result.figures, of each, "select/<name>": the share of prompts of whose choice one answer is
// correct, where it could be judged; no choice is a wrong one. For each k of options.k below the samples of a
// prompt also "select/<name>@k": the mean over the floor(n / k) disjoint blocks of k samples, in order; not
// of a selector that asks a judge. options.samples: the most that a prompt has. Throws UserError as the
// selectors do.
void select_answers(const std::vector<SelectorEntry>& entries, const std::vector<EvalPrompt>& prompts,
                    const EvalOptions& options, EvalResult& result, const SelectionContext& context);

}  // namespace temper
