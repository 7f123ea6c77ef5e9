#include "adapter/computed_weight.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

namespace temper {

ComputedWeight::ComputedWeight(Parameter* parameter)
    : parameter_(parameter), base_{parameter->master, parameter->compute} {
  const auto options = base_.compute.options();
  own_.compute = at::empty(base_.compute.sizes(), options);
  own_.master = own_.compute.scalar_type() == at::kFloat
                    ? own_.compute.detach()
                    : at::empty(base_.compute.sizes(), options.dtype(at::kFloat));
  own_.master.set_requires_grad(true);
}

at::Tensor ComputedWeight::base() const {
  return base_.compute.detach().to(at::kFloat);
}

void ComputedWeight::set_base(const at::Tensor& to) {
  base_.compute.copy_(to);
}

void ComputedWeight::set(const at::Tensor& values) {
  const at::NoGradGuard no_grad;
  own_.master.copy_(values);
  if (own_.compute.scalar_type() != at::kFloat) own_.compute.copy_(values);
  if (enabled_) put();
}

void ComputedWeight::set_enabled(bool enabled) {
  if (enabled == enabled_) return;  // another adapter's may be in place
  enabled_ = enabled;
  put();
}

void ComputedWeight::put() const {
  const Weights& weights = enabled_ ? own_ : base_;
  parameter_->master = weights.master;
  parameter_->compute = weights.compute;
}

at::Tensor ComputedWeight::take_gradient() {
  at::Tensor out = own_.master.grad();
  own_.master.mutable_grad() = at::Tensor();
  return out;
}

void ComputedWeight::merge() {
  const at::Tensor merged = own_.compute.detach();
  base_ = {merged, merged};
  enabled_ = false;
  put();
}

}  // namespace temper
