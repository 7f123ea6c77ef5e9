#include "base/error.h"
#include "objective/inspect_parts.h"
#include "objective/preference.h"

namespace temper::objective {
namespace {

std::unique_ptr<PreferenceAlgorithm> make_algorithm(const std::string& name, const Json& overrides) {
  auto algorithm = preference_registry().find(name)->make();
  read_fields(*algorithm, overrides, "objective " + name, ".");
  return algorithm;
}

const std::vector<std::string> kPairKeys = {"logp", "logp_ref", "log_sum_squares"};
const std::vector<std::string> kSingleKeys = {"logp", "logp_ref", "label", "mismatch", "include"};

bool included_pair(const Json& pair) {
  if (!pair.contains("include")) return true;
  const Json& include = pair["include"];
  if (!include.is_boolean())
    user_error("pairs: \"include\" is true or false, not {}", include.dump().substr(0, 60));
  return include.get<bool>();
}

}  // namespace

Json evaluate_preference(const std::string& name, const Json& input, const Json& overrides) {
  const auto algorithm = make_algorithm(name, overrides);
  PreferenceObjective objective(*algorithm);
  const PreferenceNeeds needs = objective.needs();
  const Columns columns =
      needs.label ? sequence_columns(input, {}, kSingleKeys) : pair_columns(input, {"include"}, kPairKeys);
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
  if (needs.label) {
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
  objective.prepare(detached);
  const PreferenceObjective::Result result = objective(batch, objective.totals(detached));
  return inspection(columns, result.loss, batch.logp, result.metrics);
}

std::vector<std::string> preference_inputs(const std::string& name, const Json& overrides) {
  const PreferenceNeeds needs = make_algorithm(name, overrides)->needs();
  std::vector<std::string> out = {"logp"};
  if (needs.logp_ref) out.push_back("logp_ref");
  if (needs.log_sum_squares) out.push_back("log_sum_squares");
  if (needs.label) out.push_back("label");
  if (needs.mismatch) out.push_back("mismatch");
  return out;
}

}  // namespace temper::objective
