#include "model/fresh_weights.h"

#include <ATen/ATen.h>

#include <cmath>
#include <string>

#include "model/families.h"

namespace temper {
namespace {

using at::Tensor;

void fill_fresh(const ModelConfig& config, uint64_t seed, const std::string& name, Tensor to) {
  auto ends_with = [&](const std::string& tail) {
    return name.size() >= tail.size() && name.compare(name.size() - tail.size(), tail.size(), tail) == 0;
  };
  const std::string last = name.substr(name.rfind('.') + 1);
  if (ends_with("dt_bias") || ends_with("linear_attn.norm.weight") || last == kLayerScale ||
      ends_with(kRouterScale) || ends_with(kExpertScale)) {
    to.fill_(1.0);
  } else if (ends_with("A_log")) {  // of decays from 1 to 16
    RandomStream stream(seed, "init." + name);
    for (int64_t i = 0; i < to.numel(); ++i) to[i] = std::log(1.0 + 15.0 * stream.uniform());
  } else if (name.find("norm") != std::string::npos) {
    to.fill_(family_of(config).norms_add_one ? 0.0 : 1.0);
  } else if (ends_with(".bias")) {
    to.fill_(0.0);
  } else {
    const PartNames& parts = family_of(config).parts;
    const bool residual = ends_with(std::string(parts.out) + ".weight") ||
                          ends_with(std::string(parts.down) + ".weight") || ends_with("out_proj.weight") ||
                          ends_with("down_proj.weight");
    const double std = 0.02 / (residual ? std::sqrt(2.0 * static_cast<double>(config.layers)) : 1.0);
    Tensor values = at::empty(to.sizes(), at::kFloat);
    float* v = values.mutable_data_ptr<float>();
    RandomStream stream(seed, "init." + name);
    for (int64_t i = 0; i < values.numel(); ++i) v[i] = static_cast<float>(std * stream.normal());
    to.copy_(values);
  }
}

}  // namespace

void fill_fresh(const ModelConfig& config, uint64_t seed, Parameter& p, bool master) {
  const std::string& name = config.tied && p.name == "lm_head.weight" ? "model.embed_tokens.weight" : p.name;
  if (!p.quantised) return fill_fresh(config, seed, name, master ? p.master : p.compute);
  const Tensor values = at::empty(p.compute.sizes(), at::kFloat);
  fill_fresh(config, seed, p.name, values);
  p.assign(values);
}

}  // namespace temper
