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

struct Selected {
  std::string name;             // of the selector
  std::vector<Choice> choices;  // one a prompt, among all its samples
  // "select/<name>": the share of prompts of whose choice one answer is correct, where it could be judged; no
  // choice is a wrong one. For each k below the samples of a prompt "select/<name>@k": the mean over the
  // floor(n / k) disjoint blocks of k samples, in order; not of a selector that asks a judge.
  std::vector<Figure> figures;
};

// ks: of the blocks. Throws UserError as the selector does.
Selected run_selector(const SelectorEntry& entry, const std::vector<Ballot>& ballots,
                      const EvalResult& result, const std::vector<int64_t>& ks, double level,
                      const SelectionContext& context);

}  // namespace temper
