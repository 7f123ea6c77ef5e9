// The figures of samples that are scored: of all of an evaluation, or of some of its prompts.
#pragma once

#include <cstdint>
#include <vector>

#include "base/json_fwd.h"
#include "eval/evaluate.h"

namespace temper {

// [prompt][sample], of the prompts that figures are of.
using PromptSamples = std::vector<std::vector<const EvalSample*>>;
PromptSamples by_prompt(const EvalResult& result);

// As EvalResult::figures says. options.samples: the most that a prompt has.
std::vector<Figure> figures_of(const EvalResult& result, const PromptSamples& samples,
                               const EvalOptions& options);

// {name: {"value", "low", "high", "prompts"}}; an infinite bound is null.
Json figures_json(const std::vector<Figure>& figures);

// k of pass@k and its kin, ascending, without 1. Throws UserError for one that is not among the samples.
std::vector<int64_t> resolved_k(const EvalOptions& options);

// Says of each sample whether it is correct, by the score of the reward of this index; -1: by the total.
void judge(EvalResult& result, int64_t verifier, double above);

// The reward of this name, as an index; `what` names the option. Throws UserError when there is none.
int64_t reward_index(const std::vector<std::string>& names, const std::string& name, const std::string& what);

// Of samples that are judged: nulls, tokens, all figures, and what options ask for beyond them (further.h).
// Throws UserError when they ask for what cannot be.
void measure(EvalResult& result, const std::vector<EvalPrompt>& prompts, const EvalOptions& options);

}  // namespace temper
