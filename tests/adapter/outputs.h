// What a model with an adapter gives, and the tiny mixtures of experts that several tests adapt.
#pragma once

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <memory>
#include <string>
#include <vector>

#include "adapter/lora/lora.h"
#include "base/json.h"
#include "model/model.h"
#include "test.h"

namespace temper {

// log p of a text's tokens from the second on.
inline at::Tensor logp_of(Model& model, const std::vector<int64_t>& ids, const ForwardOptions& options = {}) {
  Packer packer;
  packer.add_targets(packer.add_segment(ids), 0, static_cast<int64_t>(ids.size()), 0);
  return model_logp(model, packer.tokens_on(at::kCPU), packer.targets_on(at::kCPU, 1), {}, options).logp;
}

// The same without gradients.
inline at::Tensor logp(Model& model, const std::vector<int64_t>& ids) {
  const at::NoGradGuard no_grad;
  return logp_of(model, ids);
}

inline double distance(const at::Tensor& a, const Json& expected) {
  return (a.to(at::kDouble) - at::tensor(expected.get<std::vector<double>>(), at::kDouble))
      .abs()
      .max()
      .item<double>();
}

inline const std::vector<std::string> kMixtures = {"deepseek_v3", "glm4_moe", "gpt_oss", "mixtral",
                                                   "qwen3_moe"};

inline std::string family_folder(const std::string& name) {
  return test_file("model/golden/families/" + name);
}

// An adapter that changes what the model gives.
inline std::unique_ptr<Adapter> attached(Model& model, const LoraOptions& options) {
  auto adapter = options.attach(model, 1);
  const at::NoGradGuard no_grad;
  at::manual_seed(5);
  for (const auto& [name, tensor] : adapter->trainable()) at::Tensor(tensor).normal_(0.0, 0.1);
  adapter->refresh();
  return adapter;
}

}  // namespace temper
