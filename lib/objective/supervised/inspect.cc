#include <ATen/ATen.h>

#include "base/error.h"
#include "objective/inspect_parts.h"
#include "objective/supervised/supervised.h"
#include "tensor/packed.h"

namespace temper::objective {
namespace {

std::unique_ptr<SupervisedLoss> make_supervised_loss(const std::string& name, const Json& overrides) {
  auto options = supervised_registry().find(name)->make();
  read_fields(*options, overrides, "objective " + name, ".");
  return options->make();
}

}  // namespace

std::vector<std::string> need_names(const SupervisedNeeds& needs) {
  std::vector<std::string> out;
  if (needs.mean_logp) out.push_back("mean_logp");
  if (needs.cosine) out.push_back("cosine");
  if (needs.value) out.push_back("value");
  if (needs.reward) out.push_back("reward");
  if (needs.group) out.push_back("group");
  return out;
}

Json evaluate_supervised(const std::string& name, const Json& input, const Json& overrides) {
  const auto loss = make_supervised_loss(name, overrides);
  const SupervisedNeeds needs = loss->needs();
  const Columns columns =
      sequence_columns(input, {}, {"logp", "mean_logp", "cosine", "value", "reward", "group"});
  for (const std::string& key : need_names(needs)) columns.demand(key, "objective " + name);
  SupervisedBatch batch;
  batch.logp = columns.tokens("logp").requires_grad_();
  if (batch.logp.numel() == 0) user_error("input: no sequence has a token");
  batch.sequence = columns.token_sequence();
  batch.sequences = static_cast<int64_t>(columns.size());
  if (needs.mean_logp) batch.mean_logp = columns.tokens("mean_logp").requires_grad_();
  if (needs.cosine) batch.cosine = columns.tokens("cosine").requires_grad_();
  if (needs.value) batch.value = columns.tokens("value").requires_grad_();
  at::Tensor rewards;  // of records, or of tokens
  if (needs.reward && columns.is_array("reward")) {
    rewards = batch.token_reward = columns.tokens("reward");
    batch.reward = segment_mean(rewards, batch.sequence, batch.sequences);
  } else if (needs.reward) {
    rewards = batch.reward = columns.numbers("reward");
    batch.token_reward = gather_sequence(batch.reward, batch.sequence);
  }
  if (needs.group) {
    batch.group = std::get<1>(at::_unique(columns.labels("group"), true, true));
    batch.groups = batch.group.max().item<int64_t>() + 1;
  }
  loss->prepare(rewards);
  const at::Tensor value = (*loss)(batch).mean();  // over tokens or groups
  Json out = inspection(columns, value, batch.logp, {});
  const std::pair<const char*, const at::Tensor&> further[] = {
      {"mean_logp", batch.mean_logp}, {"cosine", batch.cosine}, {"value", batch.value}};
  for (const auto& [key, leaf] : further) {
    if (leaf.defined()) out["grad"][key] = columns.ragged(gradient_of(value, leaf));
  }
  return out;
}

std::vector<std::string> supervised_inputs(const std::string& name, const Json& overrides) {
  std::vector<std::string> out = {"logp"};
  for (const std::string& key : need_names(make_supervised_loss(name, overrides)->needs()))
    out.push_back(key);
  return out;
}

}  // namespace temper::objective
