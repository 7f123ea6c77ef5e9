// Draws that a constraint allows.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "grammar/constraint.h"
#include "rollout/sampler.h"

namespace temper {

// What the options say a text must be; none: anything. at: in front of the option's name in messages. Throws
// UserError as regex_automaton and schema_automaton do, and when the schema's file cannot be read.
std::optional<Automaton> constraint_automaton(const SamplingOptions& options, const std::string& at);

// The same over a model's tokens; null: anything. Throws as Constraint and TokenTexts do, too.
std::shared_ptr<const Constraint> make_constraint(const SamplingOptions& options, const Tokenizer& tokenizer,
                                                  int64_t vocab, const std::vector<int64_t>& end_ids);

// One draw from what sample_token() would draw from, given that the constraint allows it; truncations see
// what the constraint has left. Tokens are drawn, and left out where they are refused, until one is allowed;
// after a few refusals, where truncations ask for it, and with `exact`, the tokens that are allowed are
// looked up at once (ConstraintState::allowed). The law is the same. Greedy: the largest allowed logit.
// log_weight: exact where they were looked up. Otherwise exp of it is an unbiased estimate of the allowed
// mass, whichever token was drawn (adaptive weighted rejection sampling, arXiv 2504.05410): the share that
// the refusals have left, and, when one draw more from the rest would be refused, times the drawn token's
// share of that. logp is then not known, NaN. Throws as sample_token and ConstraintState::allowed do.
SampledToken sample_constrained(float* logits, int64_t vocab, const SamplingOptions& options,
                                const SeenTokens& seen, const std::vector<int64_t>& banned,
                                const ConstraintState& state, RandomStream& random, bool exact);

}  // namespace temper
