#include "objective/inspect.h"

#include <fmt/ranges.h>
#include <torch/csrc/autograd/autograd.h>

#include "base/error.h"
#include "objective/distill.h"
#include "objective/inspect_parts.h"
#include "objective/policy.h"
#include "objective/preference.h"
#include "objective/reward_model.h"
#include "objective/supervised.h"

namespace temper::objective {

at::Tensor gradient_of(const at::Tensor& loss, const at::Tensor& leaf) {
  if (!loss.requires_grad()) return at::zeros_like(leaf);
  const at::Tensor found =
      torch::autograd::grad({loss}, {leaf}, {}, /*retain_graph=*/true, false, /*allow_unused=*/true)[0];
  return found.defined() ? found : at::zeros_like(leaf);
}

Json inspection(const Columns& columns, const at::Tensor& loss, const at::Tensor& logp,
                const std::map<std::string, at::Tensor>& metrics) {
  Json out;
  out["loss"] = loss.item<double>();
  out["grad"]["logp"] = columns.ragged(gradient_of(loss, logp));
  out["metrics"] = Json::object();
  for (const auto& [key, value] : metrics) out["metrics"][key] = value.item<double>();
  return out;
}

Json evaluate_objective(const std::string& name, const Json& batch, const Json& overrides) {
  if (policy_registry().find(name) != nullptr) return evaluate_policy(name, batch, overrides);
  if (preference_registry().find(name) != nullptr) return evaluate_preference(name, batch, overrides);
  if (supervised_registry().find(name) != nullptr) return evaluate_supervised(name, batch, overrides);
  if (reward_loss_registry().find(name) != nullptr) return evaluate_reward(name, batch, overrides);
  if (distill_registry().find(name) != nullptr) return evaluate_distillation(name, batch, overrides);
  const std::string near = nearest_name(name, objective_names());
  if (!near.empty()) user_error("objective \"{}\": unknown; did you mean \"{}\"?", name, near);
  user_error("objective \"{}\": unknown; known: {}", name, fmt::join(objective_names(), ", "));
}

std::vector<std::string> objective_inputs(const std::string& name, const Json& overrides) {
  if (policy_registry().find(name) != nullptr) return policy_inputs(name, overrides);
  if (preference_registry().find(name) != nullptr) return preference_inputs(name, overrides);
  if (reward_loss_registry().find(name) != nullptr) return reward_inputs(name, overrides);
  if (distill_registry().find(name) != nullptr) return {"student", "teacher", "target (with ce_weight)"};
  return supervised_inputs(name, overrides);
}

std::vector<std::string> objective_names() {
  std::vector<std::string> out = policy_registry().names();
  for (const std::string& name : preference_registry().names()) out.push_back(name);
  for (const std::string& name : supervised_registry().names()) out.push_back(name);
  for (const std::string& name : reward_loss_registry().names()) out.push_back(name);
  for (const std::string& name : distill_registry().names()) out.push_back(name);
  return out;
}

}  // namespace temper::objective
