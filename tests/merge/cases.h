// Tensors in memory as a merge sees them, and golden/merging.json (scripts/oracles/merging.py).
#pragma once

#include <ATen/ATen.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "merge/method.h"
#include "temp_folder.h"
#include "test.h"

namespace temper {

inline at::Tensor tensor_of(const Json& values, const std::vector<int64_t>& shape) {
  const auto row = values.get<std::vector<double>>();
  return at::tensor(at::ArrayRef<double>(row), at::kDouble).view(shape);
}

// Options as a recipe has them.
inline std::unique_ptr<MergeOptions> merge_options(const std::string& method, const Json& options) {
  const auto* entry = merge_registry().find(method);
  REQUIRE(entry != nullptr);
  auto out = entry->make();
  read_fields(*out, options, method, ".");
  return out;
}

// base: undefined for none.
inline MergeTensor merge_tensor(const std::string& name, const at::Tensor& base,
                                const std::vector<at::Tensor>& models,
                                const std::vector<double>& weights = {}) {
  MergeTensor out{.name = name};
  if (base.defined()) out.base.emplace(base.to(at::kFloat));
  for (const at::Tensor& model : models) out.models.emplace_back(model.to(at::kFloat));
  out.weights = weights.empty() ? std::vector<double>(models.size(), 1.0) : weights;
  return out;
}

inline at::Tensor merged(const std::string& method, const Json& options, const MergeTensor& tensor,
                         Json figures = Json::object(), Json* told = nullptr) {
  const auto made = merge_options(method, options)->make();
  MergeInput input{.models = std::vector<std::string>(tensor.models.size())};
  input.tensors.push_back(tensor);
  made->prepare(input);
  const at::Tensor out = made->merge(tensor, figures);
  if (told != nullptr) *told = figures;
  return out;
}

inline double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return a.numel() == 0 ? 0.0 : (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

}  // namespace temper
