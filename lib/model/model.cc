#include "model/model.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "model/load.h"

namespace temper {

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
