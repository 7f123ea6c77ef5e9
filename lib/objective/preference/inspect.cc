#include <cmath>

#include "base/error.h"
#include "objective/inspect_parts.h"
#include "objective/preference/preference.h"

namespace temper::objective {
namespace {

std::unique_ptr<PreferenceAlgorithm> make_preference(const std::string& name, const Json& overrides) {
  auto algorithm = preference_registry().find(name)->make();
  read_fields(*algorithm, overrides, "objective " + name, ".");
  return algorithm;
}

const std::vector<std::string> kPairKeys = {"logp", "logp_ref", "logp_other", "log_sum_squares"};
const std::vector<std::string> kListKeys = {"logp", "logp_ref", "group"};
const std::vector<std::string> kSingleKeys = {"logp", "logp_ref", "label", "mismatch", "include"};

// Rows of one group are one unit; all groups have as many. Returns that number.
int64_t unit_size(const Columns& columns) {
  const at::Tensor group = columns.labels("group");
  const int64_t* g = group.const_data_ptr<int64_t>();
  const int64_t rows = group.size(0);
  int64_t unit = 0, first = 0;
  for (int64_t i = 1; i <= rows; ++i) {
    if (i < rows && g[i] == g[first]) continue;
    if (unit > 0 && i - first != unit)
      user_error("sequences: group {} has {} rows, the one before it {}; all need as many", g[first],
                 i - first, unit);
    unit = i - first;
    first = i;
  }
  return unit;
}

bool included_pair(const Json& pair) {
  if (!pair.contains("include")) return true;
  const Json& include = pair["include"];
  if (!include.is_boolean())
    user_error("pairs: \"include\" is true or false, not {}", include.dump().substr(0, 60));
  return include.get<bool>();
}

}  // namespace

Json evaluate_preference(const std::string& name, const Json& input, const Json& overrides) {
  const auto algorithm = make_preference(name, overrides);
  PreferenceObjective objective(*algorithm);
  const PreferenceNeeds needs = objective.needs();
  const Columns columns = needs.list    ? sequence_columns(input, {}, kListKeys)
                          : needs.label ? sequence_columns(input, {}, kSingleKeys)
                                        : pair_columns(input, {"include"}, kPairKeys);
  const std::string who = "objective " + name;
  const auto tokens = [&](const char* key, bool needed) {
    if (needed) columns.demand(key, who);
    return columns.has(key) ? columns.tokens(key) : at::Tensor();
  };
  PreferenceBatch batch;
  batch.sequences = static_cast<int64_t>(columns.size());
  batch.sequence = columns.token_sequence();
  batch.logp = columns.tokens("logp").requires_grad_();
  batch.logp_ref = tokens("logp_ref", needs.logp_ref);
  batch.log_sum_squares = tokens("log_sum_squares", needs.log_sum_squares);
  if (needs.other) batch.logp_other = tokens("logp_other", true).requires_grad_();
  if (needs.list) {
    columns.demand("group", who);
    batch.unit = unit_size(columns);
    const auto side = std::llround(std::sqrt(static_cast<double>(batch.unit)));
    if (needs.matrix && side * side != batch.unit) {
      user_error("sequences: a group has {} rows; {} needs as many prompts as responses, so a square number",
                 batch.unit, who);
    }
    if (batch.unit < 2) user_error("sequences: {} compares the rows of a group, which needs at least 2", who);
  } else if (needs.label) {
    columns.demand("label", who);
    batch.label = columns.numbers("label").ne(0);
    if (needs.mismatch) columns.demand("mismatch", who);
    if (columns.has("mismatch")) batch.mismatch = columns.numbers("mismatch");
    if (columns.has("include")) batch.include = columns.numbers("include").ne(0);
  } else {
    std::vector<double> include;
    for (const Json& pair : input["pairs"]) include.push_back(included_pair(pair) ? 1.0 : 0.0);
    batch.include = at::tensor(include, at::kDouble);
  }
  PreferenceBatch detached = batch;
  detached.logp = batch.logp.detach();
  if (needs.other) detached.logp_other = batch.logp_other.detach();
  objective.prepare(detached);
  const PreferenceObjective::Result result = objective(batch, objective.totals(detached));
  Json out = inspection(columns, result.loss, batch.logp, result.metrics);
  if (needs.other) out["grad"]["logp_other"] = columns.ragged(gradient_of(result.loss, batch.logp_other));
  return out;
}

std::vector<std::string> preference_inputs(const std::string& name, const Json& overrides) {
  const PreferenceNeeds needs = make_preference(name, overrides)->needs();
  std::vector<std::string> out = {"logp"};
  if (needs.logp_ref) out.push_back("logp_ref");
  if (needs.log_sum_squares) out.push_back("log_sum_squares");
  if (needs.other) out.push_back("logp_other");
  if (needs.list) out.push_back("group");
  if (needs.label) out.push_back("label");
  if (needs.mismatch) out.push_back("mismatch");
  return out;
}

}  // namespace temper::objective
