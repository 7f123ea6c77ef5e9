// What a LoRA makes of whole weights: merged and unmerged ones, and the embedding and the head, which are
// computed whole while they train.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "adapter/lora/lora.h"
#include "base/error.h"

namespace temper {

using at::Tensor;

bool LoraAdapter::alone() const {
  return saved_.parameters().empty() && base_.values.empty() &&
         std::none_of(modules_.begin(), modules_.end(),
                      [](const LoraModule& m) { return m.whole != nullptr; });
}

Tensor LoraAdapter::with_update(const LoraModule& m, double scale) const {
  const LoraFactors update = whole_update(m);
  if (m.experts > 0)
    return at::baddbmm(weight(m), expert_b(update.b, m.experts), expert_a(update.a, m.experts), 1.0, scale);
  return at::addmm(weight(m), update.b, update.a, 1.0, scale);
}

Tensor LoraAdapter::product(const LoraModule& m) const {
  return with_update(m, m.scale);
}

Tensor LoraAdapter::factors(const LoraModule& m) const {
  return (m.magnitude.detach() / m.length).unsqueeze(m.embedding ? 0 : 1);
}

Tensor LoraAdapter::merged_weight(const LoraModule& m) const {
  const at::NoGradGuard no_grad;
  const Tensor merged = product(m);
  return m.magnitude.defined() ? merged * factors(m) : merged;
}

std::vector<Tensor> LoraAdapter::gradient_carriers() const {
  std::vector<Tensor> out;
  for (const LoraModule& m : modules_)
    if (m.whole) out.push_back(m.whole->master());
  return out;
}

// The gradient of f (W + s B A), f DoRA's factors: m / length, and the length is a constant of the step.
void LoraAdapter::end_backward() {
  const at::NoGradGuard no_grad;
  for (const LoraModule& m : modules_) {
    Tensor gradient = m.whole ? m.whole->take_gradient() : Tensor();
    if (!gradient.defined()) continue;
    if (m.magnitude.defined()) {
      const Tensor along = (gradient * product(m)).sum(m.embedding ? 0 : 1);
      m.magnitude.mutable_grad() = along / m.length;
      gradient = gradient * factors(m);
    }
    if (m.b.requires_grad()) m.b.mutable_grad() = at::mm(gradient, m.a.t()).mul_(m.scale);
    if (m.a.requires_grad()) m.a.mutable_grad() = at::mm(m.b.t(), gradient).mul_(m.scale);
  }
}

void LoraAdapter::merge() {
  const at::NoGradGuard no_grad;
  set_enabled(true);
  for (const LoraModule& m : modules_) {
    if (m.whole)
      m.whole->merge();
    else
      m.parameter->assign(merged_weight(m));
  }
  base_.values = {};
  model_.set_delta(nullptr);
}

void LoraAdapter::unmerge() {
  if (options_.dora)
    user_error("DoRA cannot be taken out of merged weights: the lengths of the base's rows are lost");
  const at::NoGradGuard no_grad;
  for (const LoraModule& m : modules_) {
    if (base_.known.count(m.path)) continue;  // the folder has what was there before
    const Tensor base = with_update(m, -m.scale);
    if (m.whole)
      m.whole->set_base(base);
    else
      m.parameter->assign(base);
  }
}

}  // namespace temper
