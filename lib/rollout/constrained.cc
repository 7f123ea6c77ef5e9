#include "rollout/constrained.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/json.h"
#include "grammar/regex.h"
#include "grammar/schema.h"
#include "rollout/distribution.h"

namespace temper {
namespace {

constexpr int kRefusals = 16;  // after which looking up what is allowed is cheaper

// The largest logit that the constraint allows.
SampledToken largest_allowed(TokenDistribution& p, float* logits, int64_t vocab,
                             const ConstraintState& state) {
  for (int refusals = 0; refusals < kRefusals; ++refusals) {
    float* best = std::max_element(logits, logits + vocab);
    if (*best == logit_rows::kNever) break;
    if (state.allows(best - logits)) return p.token(best - logits);
    *best = logit_rows::kNever;
  }
  p.restrict_to(*state.allowed());
  return p.draw(0);
}

}  // namespace

std::optional<Automaton> constraint_automaton(const SamplingOptions& options, const std::string& at) {
  if (!options.regex.empty()) return regex_automaton(options.regex, at + "regex");
  if (options.json_schema.is_null()) return std::nullopt;
  if (!options.json_schema.is_string()) return schema_automaton(options.json_schema, at + "json_schema");
  const std::string file = options.json_schema;
  Json schema;
  try {
    schema = read_json_file(file);
  } catch (const UserError& e) {
    user_error("{}json_schema: {}", at, e.what());
  }
  return schema_automaton(schema, fmt::format("{}json_schema: {}", at, file));
}

std::shared_ptr<const Constraint> make_constraint(const SamplingOptions& options, const Tokenizer& tokenizer,
                                                  int64_t vocab, const std::vector<int64_t>& end_ids) {
  auto automaton = constraint_automaton(options, "");
  if (!automaton) return nullptr;
  return std::make_shared<Constraint>(std::move(*automaton),
                                      std::make_shared<const TokenTexts>(tokenizer, vocab), end_ids,
                                      options.regex.empty() ? "json_schema" : "regex");
}

SampledToken sample_constrained(float* logits, int64_t vocab, const SamplingOptions& options,
                                const SeenTokens& seen, const std::vector<int64_t>& banned,
                                const ConstraintState& state, RandomStream& random, bool exact) {
  const bool greedy = options.temperature == 0;
  if (!greedy && (exact || options.truncates())) {
    const auto allowed = state.allowed();
    return TokenDistribution(logits, vocab, options, seen, banned, allowed.get()).draw(random.uniform());
  }
  TokenDistribution p(logits, vocab, options, seen, banned);
  if (greedy) return largest_allowed(p, logits, vocab, state);

  TokenWeights rest = p.weights();  // of what is not refused
  for (int refusals = 0; refusals < kRefusals && rest.total > 0; ++refusals) {
    const int64_t id = draw(logits, vocab, rest, random.uniform());
    if (!state.allows(id)) {
      leave_out(logits, vocab, rest, id);
      continue;
    }
    SampledToken token = p.token(id);
    token.logp = std::numeric_limits<float>::quiet_NaN();
    token.log_weight = std::log(rest.total / p.weights().total);
    const double share = rest.weight(logits[id]) / rest.total;
    leave_out(logits, vocab, rest, id);
    const bool another = rest.total <= 0 || state.allows(draw(logits, vocab, rest, random.uniform()));
    if (!another) token.log_weight += std::log(share);
    token.log_weight = std::min(0.0, token.log_weight);
    return token;
  }
  p.restrict_to(*state.allowed());  // of the refused ones none is among them
  return p.draw(random.uniform());
}

}  // namespace temper
