#include "adapter/base_values.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

namespace temper {
namespace {

void write(const at::Tensor& to, const at::Tensor& index, const at::Tensor& values) {
  if (index.defined())
    to.index_copy_(0, index, values.to(to.scalar_type()));
  else
    to.copy_(values);
}

}  // namespace

void BaseValues::add(Parameter* parameter, const at::Tensor& index, const at::Tensor& values) {
  const at::NoGradGuard no_grad;
  const at::Tensor& own = parameter->compute;
  const at::Tensor base = index.defined() ? own.index_select(0, index) : own.clone();
  entries_.push_back({parameter, index, values.to(own.device()).clone(), base});
  write(own, index, entries_.back().trained);
}

void BaseValues::set_enabled(bool enabled) {
  if (enabled == enabled_) return;
  enabled_ = enabled;
  const at::NoGradGuard no_grad;
  for (const Entry& e : entries_) write(e.parameter->compute, e.index, enabled ? e.trained : e.base);
}

}  // namespace temper
