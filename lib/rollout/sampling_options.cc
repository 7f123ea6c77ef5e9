#include <fmt/format.h>

#include <utility>

#include "base/error.h"
#include "rollout/constrained.h"
#include "rollout/sampler.h"

namespace temper {

void SamplingOptions::fields(FieldVisitor& v) {
  v.field("temperature", temperature,
          {.help = "logits are divided by it; 0 takes the most probable token", .min = 0});
  v.field("top_k", top_k, {.help = "keep the k most probable tokens; 0: all", .unit = "tokens", .min = 0});
  v.field("top_p", top_p,
          {.help = "keep the fewest tokens whose probabilities reach this sum", .min = 0, .max = 1});
  v.field("min_p", min_p,
          {.help = "keep tokens at least this share as probable as the best", .min = 0, .max = 1});
  v.field("typical_p", typical_p,
          {.help = "keep the tokens nearest the entropy in surprise, up to this sum", .min = 0, .max = 1});
  v.field("epsilon_cutoff", epsilon_cutoff,
          {.help = "keep tokens at least this probable, and the best", .min = 0, .max = 1});
  v.field("eta_cutoff", eta_cutoff,
          {.help = "keep tokens at least min(eta, sqrt(eta) exp(-entropy)) probable", .min = 0, .max = 1});
  v.field("mirostat_tau", mirostat_tau,
          {.help = "the mean surprise that a text is held at by a top_k of mirostat's own; 0: off",
           .unit = "bits",
           .min = 0});
  v.field(
      "mirostat_lr", mirostat_lr,
      {.help = "share of a token's distance from mirostat_tau that moves the next one's bound", .min = 0});
  v.field("repetition_penalty", repetition_penalty,
          {.help = "logits of ids seen in prompt or output are divided by it (multiplied when negative)",
           .min = 0});
  v.field("presence_penalty", presence_penalty, {.help = "taken off the logits of ids in the output"});
  v.field("frequency_penalty", frequency_penalty,
          {.help = "taken off once for each time the id is in the output"});
  v.field("min_new_tokens", min_new_tokens, {.help = "no end before this many", .unit = "tokens", .min = 0});
  v.field("max_new_tokens", max_new_tokens, {.help = "a completion's limit", .unit = "tokens", .min = 1});
  v.field(
      "stop", stop,
      {.help = "a completion ends where one of these strings, special tokens too, appears; it is cut off"});
  v.field("ban", ban, {.help = "texts, special tokens too, that never appear in a completion"});
  v.field("regex", regex, {.help = "a regular expression that a completion's whole text matches"});
  v.field("json_schema", json_schema,
          {.help = "a completion's text is JSON that fits this JSON schema: the schema, or its file",
           .path = true});
  v.field(
      "regex_column", regex_column,
      {.help = "the records' column with a regular expression that their completions' whole text matches"});
  v.field("json_schema_column", json_schema_column,
          {.help = "the records' column with the JSON schema, an object or its text, that their completions' "
                   "text fits"});
}

void SamplingOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  const std::string at = where.empty() ? "" : where + ".";
  const auto positive = [&](const char* name, double value) {
    if (!(value > 0))
      problems.push_back(fmt::format("{}{}: expected a number above 0, found {}", at, name, value));
  };
  if (temperature > 0 && temperature < 1e-6) {
    problems.push_back(
        fmt::format("{}temperature: {} is too near 0; use 0 for greedy sampling", at, temperature));
  }
  positive("top_p", top_p);
  positive("typical_p", typical_p);
  positive("repetition_penalty", repetition_penalty);
  if (min_new_tokens > max_new_tokens) {
    problems.push_back(fmt::format("{}min_new_tokens: {} is more than max_new_tokens, {}", at, min_new_tokens,
                                   max_new_tokens));
  }
  const bool others =
      top_k > 0 || top_p < 1 || min_p > 0 || typical_p < 1 || epsilon_cutoff > 0 || eta_cutoff > 0;
  if (mirostat() && (others || temperature == 0)) {
    problems.push_back(fmt::format("{}mirostat_tau: chooses how many tokens may come by itself; leave out {}",
                                   at,
                                   temperature == 0 ? "temperature 0, which draws none"
                                                    : "top_k, top_p, min_p, typical_p and the cutoffs"));
  }
  for (const std::string& text : stop) {
    if (text.empty()) problems.push_back(fmt::format("{}stop: an empty string would stop at once", at));
  }
  for (const std::string& text : ban) {
    if (text.empty()) problems.push_back(fmt::format("{}ban: an empty string would ban everything", at));
  }
  if (!constrains()) return;
  const char* name = !regex.empty()           ? "regex"
                     : !json_schema.is_null() ? "json_schema"
                     : !regex_column.empty()  ? "regex_column"
                                              : "json_schema_column";
  const std::pair<bool, const char*> alone[] = {
      {!regex.empty() && !json_schema.is_null(), "json_schema: one of the two says what a text must be"},
      {(!regex.empty() || !json_schema.is_null()) && constrains_by_record(),
       "a column of constraints: either all texts or each record's must be something"},
      {!regex_column.empty() && !json_schema_column.empty(),
       "json_schema_column: one of the two says what a record's texts must be"},
      {min_new_tokens > 0, "min_new_tokens: the text itself says when it may end"},
      {mirostat(), "mirostat_tau, which draws each token by the ones before it"}};
  for (const auto& [given, what] : alone)
    if (given) problems.push_back(fmt::format("{}{}: goes without {}", at, name, what));
  try {
    if (const auto said = text_constraint(*this, at)) said->automaton();
  } catch (const UserError& e) {
    problems.push_back(e.what());
  }
}

bool SamplingOptions::truncates() const {
  return top_k > 0 || top_p < 1 || min_p > 0 || typical_p < 1 || epsilon_cutoff > 0 || eta_cutoff > 0 ||
         mirostat();
}

bool SamplingOptions::penalises() const {
  return repetition_penalty != 1 || presence_penalty != 0 || frequency_penalty != 0;
}

}  // namespace temper
