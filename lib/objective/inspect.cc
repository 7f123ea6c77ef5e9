#include "objective/inspect.h"

#include <torch/csrc/autograd/autograd.h>

#include "base/error.h"
#include "objective/catalogue.h"
#include "objective/inspect_parts.h"
#include "objective/supervised/supervised.h"

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

Json rows_of(const at::Tensor& table) {
  Json out = Json::array();
  for (int64_t r = 0; r < table.size(0); ++r) {
    const at::Tensor row = table[r].contiguous();
    out.push_back(
        std::vector<double>(row.const_data_ptr<double>(), row.const_data_ptr<double>() + row.numel()));
  }
  return out;
}

Json evaluate_objective(const std::string& name, const Json& batch, const Json& overrides) {
  const ObjectiveId id = find_objective(name);
  if (id.family == "policy") return evaluate_policy(id.name, batch, overrides);
  if (id.family == "preference") return evaluate_preference(id.name, batch, overrides);
  if (id.family == "supervised") return evaluate_supervised(id.name, batch, overrides);
  if (id.family == "reward_model") return evaluate_reward(id.name, batch, overrides);
  return evaluate_distillation(id.name, batch, overrides);
}

std::vector<std::string> objective_inputs(const std::string& name, const Json& overrides) {
  const ObjectiveId id = find_objective(name);
  if (id.family == "policy") return policy_inputs(id.name, overrides);
  if (id.family == "preference") return preference_inputs(id.name, overrides);
  if (id.family == "reward_model") return reward_inputs(id.name, overrides);
  if (id.family == "distillation") return distillation_inputs(id.name);
  return supervised_inputs(id.name, overrides);
}

}  // namespace temper::objective
