// The families behind evaluate_objective, each in inspect.cc of its folder, and what they share.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "objective/columns.h"

namespace temper::objective {

Json evaluate_policy(const std::string& name, const Json& input, const Json& overrides);
std::vector<std::string> policy_inputs(const std::string& name, const Json& overrides);

Json evaluate_preference(const std::string& name, const Json& input, const Json& overrides);
std::vector<std::string> preference_inputs(const std::string& name, const Json& overrides);

Json evaluate_supervised(const std::string& name, const Json& input, const Json& overrides);
std::vector<std::string> supervised_inputs(const std::string& name, const Json& overrides);

Json evaluate_reward(const std::string& name, const Json& input, const Json& overrides);
std::vector<std::string> reward_inputs(const std::string& name, const Json& overrides);

Json evaluate_distillation(const std::string& name, const Json& input, const Json& overrides);
std::vector<std::string> distillation_inputs(const std::string& name);

// d loss / d leaf; zeros when the loss does not depend on it.
at::Tensor gradient_of(const at::Tensor& loss, const at::Tensor& leaf);

// {"loss", "grad": {"logp"}, "metrics"}.
Json inspection(const Columns& columns, const at::Tensor& loss, const at::Tensor& logp,
                const std::map<std::string, at::Tensor>& metrics);

// [R, C] fp64 -> [[...], ...].
Json rows_of(const at::Tensor& table);

}  // namespace temper::objective
