#include "base/error.h"
#include "objective/inspect_parts.h"
#include "objective/supervised.h"

namespace temper::objective {
namespace {

std::unique_ptr<SupervisedLoss> make_loss(const std::string& name, const Json& overrides) {
  auto options = supervised_registry().find(name)->make();
  read_fields(*options, overrides, "objective " + name, ".");
  return options->make();
}

}  // namespace

std::vector<std::string> need_names(const SupervisedNeeds& needs) {
  std::vector<std::string> out;
  if (needs.mean_logp) out.push_back("mean_logp");
  if (needs.reward) out.push_back("reward");
  return out;
}

Json evaluate_supervised(const std::string& name, const Json& input, const Json& overrides) {
  const auto loss = make_loss(name, overrides);
  const SupervisedNeeds needs = loss->needs();
  const Columns columns = sequence_columns(input, {}, {"logp", "mean_logp", "reward"});
  for (const std::string& key : need_names(needs)) columns.demand(key, "objective " + name);
  SupervisedBatch batch;
  batch.logp = columns.tokens("logp").requires_grad_();
  if (batch.logp.numel() == 0) user_error("input: no sequence has a token");
  batch.sequence = columns.token_sequence();
  batch.sequences = static_cast<int64_t>(columns.size());
  if (needs.mean_logp) batch.mean_logp = columns.tokens("mean_logp").requires_grad_();
  if (needs.reward) batch.reward = columns.numbers("reward");
  loss->prepare(batch.reward);
  const at::Tensor value = (*loss)(batch).mean();
  Json out = inspection(columns, value, batch.logp, {});
  if (needs.mean_logp) out["grad"]["mean_logp"] = columns.ragged(gradient_of(value, batch.mean_logp));
  return out;
}

std::vector<std::string> supervised_inputs(const std::string& name, const Json& overrides) {
  std::vector<std::string> out = {"logp"};
  for (const std::string& key : need_names(make_loss(name, overrides)->needs())) out.push_back(key);
  return out;
}

}  // namespace temper::objective
