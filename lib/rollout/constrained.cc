#include "rollout/constrained.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "grammar/regex.h"
#include "grammar/schema.h"
#include "rollout/distribution.h"

namespace temper {
namespace {

constexpr size_t kKnown = 256;  // requests' constraints, before those that nobody holds are forgotten
constexpr int kRefusals = 16;   // after which looking up what is allowed is cheaper

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

Automaton TextConstraint::automaton() const {
  return regex.empty() ? schema_automaton(json_schema, where) : regex_automaton(regex, where);
}

std::optional<TextConstraint> text_constraint(const SamplingOptions& options, const std::string& at) {
  if (!options.regex.empty()) return TextConstraint{options.regex, nullptr, at + "regex"};
  const std::string where = at + "json_schema";
  if (options.json_schema.is_null()) return std::nullopt;
  if (!options.json_schema.is_string()) return TextConstraint{"", options.json_schema, where};
  const std::string file = options.json_schema;
  try {
    return TextConstraint{"", read_json_file(file), fmt::format("{}: {}", where, file)};
  } catch (const UserError& e) {
    user_error("{}: {}", where, e.what());
  }
}

std::shared_ptr<const TextConstraint> record_constraint(const SamplingOptions& options, const Json& record,
                                                        const std::string& place) {
  if (!options.constrains_by_record()) return nullptr;
  const bool regex = !options.regex_column.empty();
  const std::string& column = regex ? options.regex_column : options.json_schema_column;
  const auto found = record.find(column);
  if (found == record.end() || found->is_null())
    user_error("{}: no column \"{}\", which {} names for what the record's completions must be", place,
               column, regex ? "regex_column" : "json_schema_column");
  TextConstraint said{"", nullptr, fmt::format("{}: {}", place, column)};
  if (regex) {
    if (!found->is_string() || found->get_ref<const std::string&>().empty())
      user_error("{}: expected a regular expression, found {}", said.where, dump_line(*found).substr(0, 60));
    said.regex = *found;
  } else {
    said.json_schema = found->is_string() ? parse_json(found->get<std::string>(), said.where) : *found;
  }
  said.automaton();
  return std::make_shared<const TextConstraint>(std::move(said));
}

Constraints::Constraints(const SamplingOptions& options, const Tokenizer& tokenizer, int64_t vocab,
                         std::vector<int64_t> end_ids)
    : tokenizer_(tokenizer), vocab_(vocab), end_ids_(std::move(end_ids)) {
  if (const auto said = text_constraint(options, "")) of_all_ = made(*said);
}

std::shared_ptr<const Constraint> Constraints::of(const TextConstraint* own) {
  if (own == nullptr) return of_all_;
  if (known_.size() >= kKnown) std::erase_if(known_, [](const auto& k) { return k.second.expired(); });
  std::weak_ptr<const Constraint>& known = known_[dump_line(Json::array({own->regex, own->json_schema}))];
  std::shared_ptr<const Constraint> out = known.lock();
  if (out == nullptr) known = out = made(*own);
  return out;
}

std::shared_ptr<const Constraint> Constraints::made(const TextConstraint& said) {
  Automaton automaton = said.automaton();
  if (tokens_ == nullptr) tokens_ = std::make_shared<const TokenTexts>(tokenizer_, vocab_);
  return std::make_shared<const Constraint>(std::move(automaton), tokens_, end_ids_, said.where);
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
