// Options from JSON and the gradients of scripts/oracles/optimizers.py.
#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "optim/optimizer.h"
#include "test.h"

namespace temper {

inline std::unique_ptr<OptimizerOptions> options_of(const std::string& name, const Json& json) {
  auto options = optimizer_registry().find(name)->make();
  read_fields(*options, json, "test", ".");
  return options;
}

inline at::Tensor tensor_of(const Json& numbers, const std::vector<int64_t>& shape) {
  return at::tensor(numbers.get<std::vector<double>>(), at::kDouble).reshape(shape).to(at::kFloat);
}

// The gradient of scripts/oracles/optimizers.py.
inline at::Tensor made_up_gradient(int64_t step, const at::Tensor& value) {
  const at::Tensor index = at::arange(value.numel(), at::kDouble).reshape(value.sizes());
  const at::Tensor wave = at::sin(0.7 * index + 0.11 * index * index + 0.3 * static_cast<double>(step)) *
                          (1.0 + 0.1 * static_cast<double>(step));
  return (value.to(at::kDouble) * 0.5 + wave).to(at::kFloat);
}

}  // namespace temper
