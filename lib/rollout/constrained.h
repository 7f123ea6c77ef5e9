// Draws that a constraint allows.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/random.h"
#include "grammar/constraint.h"
#include "rollout/sampler.h"

namespace temper {

// What a text must be: a regular expression or, where that is empty, JSON of a schema.
struct TextConstraint {
  std::string regex;
  Json json_schema = nullptr;
  std::string where;  // for messages
  // Throws UserError as regex_automaton and schema_automaton do.
  Automaton automaton() const;
};

// What the options say all texts must be; none: anything, or what the records say. at: in front of the
// option's name in messages. Throws UserError when the schema's file cannot be read.
std::optional<TextConstraint> text_constraint(const SamplingOptions& options, const std::string& at);

// What a record says its own completions must be, in the column that the options name; null: they name none.
// place: of the record, such as FILE:LINE. Throws UserError when the record has no such column, and for what
// is no expression or schema.
std::shared_ptr<const TextConstraint> record_constraint(const SamplingOptions& options, const Json& record,
                                                        const std::string& place);

// The constraints of a call of generate(), over the model's tokens.
class Constraints {
 public:
  // The tokenizer outlives this. Throws as Constraint, TokenTexts and text_constraint() do.
  Constraints(const SamplingOptions& options, const Tokenizer& tokenizer, int64_t vocab,
              std::vector<int64_t> end_ids);
  // own: what a request says; null: what the options say of all. Null: anything. What is there for another
  // request that says the same is that request's. Throws as the constructor.
  std::shared_ptr<const Constraint> of(const TextConstraint* own);

 private:
  std::shared_ptr<const Constraint> made(const TextConstraint& said);
  const Tokenizer& tokenizer_;
  int64_t vocab_;
  std::vector<int64_t> end_ids_;
  std::shared_ptr<const TokenTexts> tokens_;  // read by the first constraint
  std::shared_ptr<const Constraint> of_all_;
  std::map<std::string, std::weak_ptr<const Constraint>> known_;  // of requests
};

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
