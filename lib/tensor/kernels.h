// What the files of fused operations share.
#pragma once

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <initializer_list>
#include <optional>

#include "base/error.h"

namespace temper {

inline bool wants_grad(std::initializer_list<const at::Tensor*> inputs) {
  if (!at::GradMode::is_enabled()) return false;
  for (const at::Tensor* t : inputs) {
    if (t->defined() && t->requires_grad()) return true;
  }
  return false;
}

// Calls f with a zero of the activations' type.
template <typename F>
void dispatch(at::ScalarType dtype, const char* what, const F& f) {
  if (dtype == at::kFloat)
    f(float{});
  else if (dtype == at::kBFloat16)
    f(c10::BFloat16{});
  else
    bug("{}: activations are fp32 or bf16, found {}", what, c10::toString(dtype));
}

inline std::optional<at::Tensor> maybe(const at::Tensor& t) {
  return t.defined() ? std::optional<at::Tensor>(t) : std::nullopt;
}

// The two types that models compute in: on the CPU by the kernels here, elsewhere by namespace on_device. All
// else is the reference's.
inline bool has_kernel(const at::Tensor& x) {
  return x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16;
}

}  // namespace temper
