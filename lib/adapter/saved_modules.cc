#include "adapter/saved_modules.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <set>

#include "adapter/peft_files.h"
#include "base/error.h"

namespace temper {
namespace {

std::string module_of(const std::string& parameter) {
  return parameter.substr(0, parameter.rfind('.'));
}

}  // namespace

std::vector<std::string> always_saved(const Model& model) {
  return model.config().scores > 0 ? std::vector<std::string>{"score"} : std::vector<std::string>{};
}

SavedModules::SavedModules(Model& model, const std::vector<std::string>& names, const std::string& where)
    : names_(names) {
  const std::set<std::string> linears(model.linear_modules().begin(), model.linear_modules().end());
  std::set<std::string> chosen;
  for (const std::string& name : names) {
    bool found = false;
    for (const Parameter* p : model.parameters()) {
      const std::string module = module_of(p->name);
      const bool tied_head = model.config().tied && p->name == "model.embed_tokens.weight" &&
                             std::string("lm_head").ends_with(name);
      if (name.empty() || (!module.ends_with(name) && !tied_head)) continue;  // PEFT asks no dot here
      if (linears.count(module)) {
        user_error(
            "{}: \"{}\" is a linear that targets should name; whole modules are embed_tokens, lm_head and "
            "norms",
            where, name);
      }
      found = true;
      tied_ = tied_ || (model.config().tied && module == "model.embed_tokens");
      chosen.insert(p->name);
    }
    if (!found)
      user_error(
          "{}: no module is called \"{}\"; there are embed_tokens, lm_head, norm, input_layernorm, "
          "post_attention_layernorm{}",
          where, name.substr(0, 200), model.config().qk_norm != QkNorm::kNone ? ", q_norm, k_norm" : "");
  }
  for (Parameter* p : model.parameters()) {
    if (!chosen.count(p->name)) continue;
    parameters_.push_back(p);
    const at::Tensor base = p->compute.detach();
    base_.push_back({base, base});
    p->compute = base.clone();  // what trains
  }
  model.set_trainable([&](const std::string& name) { return chosen.count(name) > 0; });
  for (const Parameter* p : parameters_) trained_.push_back({p->master, p->compute});
}

NamedTensors SavedModules::folder_tensors(bool causal) const {
  NamedTensors out;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const std::string& name = parameters_[i]->name;
    if (causal && name == "score.weight") continue;
    out.emplace_back(kPeftPrefix + name, trained_[i].master.detach());
    if (tied_ && name == "model.embed_tokens.weight")
      out.emplace_back(std::string(kPeftPrefix) + "lm_head.weight", trained_[i].master.detach());
  }
  return out;
}

void SavedModules::set_enabled(bool enabled) {
  if (enabled == enabled_) return;
  enabled_ = enabled;
  const std::vector<Weights>& weights = enabled ? trained_ : base_;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    parameters_[i]->master = weights[i].master;
    parameters_[i]->compute = weights[i].compute;
  }
}

}  // namespace temper
