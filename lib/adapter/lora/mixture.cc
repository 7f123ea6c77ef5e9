// LoRA on what a mixture of experts has targets linears: its routers, and an update for each expert.
#include <ATen/ATen.h>

#include <algorithm>

#include "adapter/lora/lora.h"
#include "adapter/lora/targets.h"
#include "base/error.h"
#include "model/families.h"

namespace temper {

using at::Tensor;

std::string folder_path(const std::string& parameter, const std::vector<std::string>& targets) {
  const std::string weight = ".weight", module = parameter.substr(0, parameter.rfind('.'));
  if (parameter.ends_with(weight)) return module;
  const bool inner = parameter.ends_with(kExpertsGateUp) &&
                     std::find(targets.begin(), targets.end(), module + ".down_proj") != targets.end();
  return inner ? module + ".base_layer" : module;
}

void LoraAdapter::check_mixture(const LoraModule& m, const std::string& where) const {
  const char* feature = options_.dora                                               ? "dora"
                        : options_.dropout > 0                                      ? "dropout"
                        : options_.init != "kaiming" && options_.init != "gaussian" ? "init"
                                                                                    : nullptr;
  if (feature == nullptr) return;
  user_error(
      "{0}.{1}: routers and experts (\"{2}\") take plain LoRA alone, as in PEFT; name linears in {0}.targets "
      "([\"q_proj\", \"v_proj\"] ...), or leave {1} out",
      where, feature, m.target);
}

bool LoraAdapter::trains_mixture(const Parameter* weight) const {
  const auto it = mixture_.find(weight);
  if (it == mixture_.end()) return false;
  const LoraModule& m = modules_[static_cast<size_t>(it->second)];
  return m.a.requires_grad() || m.b.requires_grad();
}

Tensor LoraAdapter::apply_mixture(const Parameter* weight, const ExpertRows* rows, const Tensor& x,
                                  const Tensor& y) {
  const auto it = mixture_.find(weight);
  if (it == mixture_.end()) return y;
  const LoraModule& m = modules_[static_cast<size_t>(it->second)];
  if (rows != nullptr) return grouped_lora_product(x, *rows, y, m.a_work, m.b_work, m.a, m.b, m.scale);
  return lora_product(x, y, m.a_work, {{m.a, m.b, m.b_work, 0, m.scale}});
}

}  // namespace temper
