#include "base/error.h"
#include "objective/inspect_parts.h"
#include "objective/reward/reward_model.h"

namespace temper::objective {
namespace {

std::unique_ptr<RewardLoss> make_reward_loss(const std::string& name, const Json& overrides) {
  auto options = reward_loss_registry().find(name)->make();
  read_fields(*options, overrides, "objective " + name, ".");
  return options->make();
}

}  // namespace

Json evaluate_reward(const std::string& name, const Json& input, const Json& overrides) {
  const auto loss = make_reward_loss(name, overrides);
  const RewardNeeds needs = loss->needs();
  const std::string who = "objective " + name;
  RewardBatch batch;
  std::unique_ptr<Columns> columns;
  at::Tensor leaf;
  if (needs.rows == RewardRows::kPairs) {
    columns = std::make_unique<Columns>(pair_columns(input, {"strength", "margin"}, {"score"}, ""));
    columns->demand("score", who);
    leaf = columns->numbers("score").requires_grad_();
    std::vector<double> strength;
    for (size_t i = 0; needs.strength && i < input["pairs"].size(); ++i) {
      const Json& pair = input["pairs"][i];
      if (!pair.contains("strength"))
        user_error("pairs.{}: \"strength\" is missing, and {} needs it", i, who);
      strength.push_back(finite_number(pair["strength"], fmt::format("pairs.{}.strength", i)));
    }
    if (needs.strength) batch.strength = at::tensor(strength, at::kDouble);
    std::vector<double> margin;
    for (size_t i = 0; needs.margin && i < input["pairs"].size(); ++i) {
      const Json& pair = input["pairs"][i];
      margin.push_back(
          pair.contains("margin") ? finite_number(pair["margin"], fmt::format("pairs.{}.margin", i)) : 0.0);
    }
    if (needs.margin) batch.margin = at::tensor(margin, at::kDouble);
  } else {
    const bool steps = needs.rows == RewardRows::kSteps;
    columns = std::make_unique<Columns>(
        sequence_columns(input, {}, {"score", "group", "label", "target"}, steps ? "score" : ""));
    columns->demand("score", who);
    columns->demand(needs.rows == RewardRows::kRated ? "target" : "label", who);
    if (steps) {
      leaf = columns->tokens("score").requires_grad_();
      batch.label = columns->tokens("label", /*null_allowed=*/true);
    } else if (needs.rows == RewardRows::kGroups) {
      columns->demand("group", who);
      leaf = columns->numbers("score").requires_grad_();
      batch.group = columns->labels("group");
      batch.label = columns->numbers("label", /*null_allowed=*/true);
    } else {
      leaf = columns->table("score").requires_grad_();
      batch.target = columns->table("target");
      if (leaf.isnan().any().item<bool>()) user_error("sequences: a score is null");
      if (leaf.sizes() != batch.target.sizes())
        user_error("sequences: {} scores but {} targets", leaf.size(1), batch.target.size(1));
    }
  }
  batch.score = leaf.dim() == 2 ? leaf : leaf.unsqueeze(1);
  const RewardTerms terms = (*loss)(batch);
  const at::Tensor value = terms.sum / std::max(terms.count, 1.0);
  const at::Tensor gradient = gradient_of(value, leaf);
  Json out;
  out["loss"] = value.item<double>();
  if (needs.rows == RewardRows::kSteps)
    out["grad"]["score"] = columns->ragged(gradient);
  else
    out["grad"]["score"] = gradient.dim() == 2 ? rows_of(gradient) : rows_of(gradient.unsqueeze(0))[0];
  out["metrics"] = Json::object();
  for (const auto& [key, sum] : terms.metrics)
    out["metrics"][key] = sum.item<double>() / std::max(terms.count, 1.0);
  return out;
}

std::vector<std::string> reward_inputs(const std::string& name, const Json& overrides) {
  const RewardNeeds needs = make_reward_loss(name, overrides)->needs();
  if (needs.rows == RewardRows::kGroups) return {"score", "group", "label"};
  if (needs.rows == RewardRows::kRated) return {"score", "target"};
  if (needs.rows == RewardRows::kSteps) return {"score", "label"};
  if (needs.strength) return {"score", "strength"};
  return needs.margin ? std::vector<std::string>{"score", "margin (0 without)"}
                      : std::vector<std::string>{"score"};
}

}  // namespace temper::objective
