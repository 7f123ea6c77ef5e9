#include "model/model.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "model/load.h"

namespace temper {

at::Tensor LinearDelta::apply_fused(const std::vector<int64_t>& modules, const std::vector<int64_t>& outs,
                                    const at::Tensor& x, const at::Tensor& y, bool training) {
  if (modules.size() == 1) return apply(modules[0], x, y, training);
  std::vector<at::Tensor> parts;
  int64_t column = 0;
  for (size_t i = 0; i < modules.size(); ++i) {
    parts.push_back(apply(modules[i], x, y.narrow(1, column, outs[i]), training));
    column += outs[i];
  }
  return at::cat(parts, 1);
}

Parameter* Model::find(const std::string& name) {
  for (Parameter* parameter : parameters()) {
    if (parameter->name == name) return parameter;
  }
  return nullptr;
}

at::Tensor Model::logits(const at::Tensor& hidden) {
  at::NoGradGuard guard;
  return at::linear(hidden, head().compute).to(at::kFloat);
}

void Model::save(const std::string& folder, at::ScalarType dtype) {
  NamedTensors tensors;
  for (Parameter* parameter : parameters()) tensors.emplace_back(parameter->name, parameter->master.detach());
  save_pretrained(folder, config(), tensors, dtype);
}

LogpResult model_logp(Model& model, const PackedTokens& batch, const Targets& targets,
                      const LogpOptions& logp, const ForwardOptions& forward) {
  return selective_logp(model.hidden(batch, forward), model.head().compute, model.head().master, targets,
                        logp);
}

}  // namespace temper
