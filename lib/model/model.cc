#include "model/model.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <numeric>

#include "base/error.h"
#include "model/load.h"
#include "tensor/accelerator/ops.h"
#include "tensor/logits.h"
#include "tensor/product/mm.h"

namespace temper {

void Parameter::train() {
  if (quantised) bug("{} is quantised and cannot train", name);
  // With fp32 compute the master is the same storage, seen through a tensor of its own that may take
  // gradients.
  master = compute.scalar_type() == at::kFloat ? compute.detach() : compute.detach().to(at::kFloat);
  master.set_requires_grad(true);
  master_elsewhere = false;
}

void Parameter::freeze() {
  master = compute;
  master_elsewhere = false;
}

bool Parameter::master_may_leave() const {
  return master.requires_grad() && compute.scalar_type() != at::kFloat && !passes_read_master;
}

void Parameter::leave_master() {
  if (!master_may_leave()) bug("the master of {} is needed here", name);
  // One number seen in every place.
  master = at::empty({1}, master.options()).expand(compute.sizes());
  master.set_requires_grad(true);
  master_elsewhere = true;
}

at::Tensor Parameter::values() const {
  if (!quantised) return compute.detach().to(at::kFloat);
  return dequantise(*quantised, 0, quantised->rows, at::kFloat).view(compute.sizes());
}

void Parameter::assign(const at::Tensor& values) {
  if (quantised)
    quantise(values.reshape({quantised->rows, quantised->columns}), *quantised);
  else
    compute.copy_(values);
}

Parameter* Model::find(const std::string& name) {
  for (Parameter* parameter : parameters()) {
    if (parameter->name == name) return parameter;
  }
  return nullptr;
}

at::Tensor Model::logits(const at::Tensor& hidden) {
  at::NoGradGuard guard;
  return lawful(product_f32(hidden, head().compute), config().logits);
}

void Model::save(const std::string& folder, at::ScalarType dtype) {
  NamedTensors tensors;
  const Parameter* critic = config().causal && config().scores > 0 ? &score_head() : nullptr;
  for (Parameter* parameter : stored()) {
    if (parameter == critic) continue;
    const at::Tensor& weight = parameter->master_elsewhere ? parameter->compute : parameter->master;
    tensors.emplace_back(parameter->name, parameter->quantised ? parameter->values() : weight.detach());
  }
  save_pretrained(folder, config(), tensors, dtype);
}

ModelConfig model_config(const std::string& folder, const Heads& heads) {
  ModelConfig config = read_model_config(folder);
  if (heads.causal && !config.causal) {
    user_error("{}: config.json says a model for sequence classification, which has no language-model head",
               folder);
  }
  if (!heads.causal && heads.scores == 0 && config.scores == 0) {
    user_error(
        "{}: expected a model with a score head (architectures ...ForSequenceClassification), found a causal "
        "one",
        folder);
  }
  if (heads.scores > 0 && config.scores > 0 && heads.scores != config.scores) {
    user_error("{}: the model has {} scores, {} are wanted", folder, config.scores, heads.scores);
  }
  config.causal = heads.causal;
  if (heads.scores > 0) config.scores = heads.scores;
  if (config.score_names.empty()) config.score_names = heads.score_names;
  if (heads.pad_id) config.pad_id = heads.pad_id;
  return config;
}

int64_t score_position(const std::vector<int64_t>& prompt, const std::vector<int64_t>& completion,
                       std::optional<int64_t> pad_id) {
  const auto begin = static_cast<int64_t>(prompt.size());
  int64_t at = begin + static_cast<int64_t>(completion.size()) - 1;
  if (!pad_id) return at;
  while (at > 0 && (at < begin ? prompt[at] : completion[at - begin]) == *pad_id) --at;
  return std::max<int64_t>(at, 0);
}

at::Tensor model_scores(const Model& model, const at::Tensor& hidden, const at::Tensor& rows) {
  // Few rows: fp32 throughout, the masters themselves.
  return at::linear(hidden.index_select(0, rows).to(at::kFloat), model.score_head().master.to(at::kFloat));
}

std::vector<int64_t> Model::virtual_ids() const {
  std::vector<int64_t> out(virtual_tokens() == nullptr ? 0 : static_cast<size_t>(virtual_tokens()->count()));
  std::iota(out.begin(), out.end(), config().vocab);
  return out;
}

std::string quantisation_summary(Model& model) {
  const QuantFormat& format = model.precision().quantise;
  std::map<std::string, QuantError> errors;  // by the last part of the module's path
  int64_t quantised = 0, dense = 0;
  bool experts = false;
  for (const Parameter* p : model.parameters()) {
    if (!p->quantised) continue;
    const size_t weight = p->name.rfind(".weight");  // the experts' have none
    const std::string module = p->name.substr(0, weight);
    errors[module.substr(module.rfind('.') + 1)].add(p->quantised->error);
    experts = experts || weight == std::string::npos;
    quantised += p->quantised->bytes();
    dense += static_cast<int64_t>(p->compute.nbytes());
  }
  if (errors.empty()) return "";
  std::string kinds;
  for (const auto& [kind, error] : errors)
    kinds += fmt::format("{}{} {:.4f} {:.2f}", kinds.empty() ? "" : ", ", kind, error.rms(), error.worst());
  return fmt::format(
      "linears{} in {}: {:.1f} MB in place of {:.1f} MB; rms and largest error as shares of the weights' "
      "rms: "
      "{}",
      experts ? " and experts" : "", quant_name(format.kind), static_cast<double>(quantised) / 1e6,
      static_cast<double>(dense) / 1e6, kinds);
}

LogpResult model_logp(Model& model, const PackedTokens& batch, const Targets& targets,
                      const LogpOptions& logp, const ForwardOptions& forward) {
  return model_logp(model, model.hidden(batch, forward), targets, logp);
}

LogpResult model_logp(const Model& model, const at::Tensor& hidden, const Targets& targets,
                      LogpOptions options) {
  options.law = model.config().logits;
  return selective_logp(hidden, model.head().compute, model.head().master, targets, options);
}

}  // namespace temper
