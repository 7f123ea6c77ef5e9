// A fused operation beside its plain twin: values and gradients.
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "test.h"

namespace temper {

using Tensors = std::vector<at::Tensor>;

// A test file's own draws: tests elsewhere do not change them.
[[maybe_unused]] static at::Tensor random(at::IntArrayRef shape, double scale = 1.0) {
  static at::Generator generator = at::detail::createCPUGenerator(7);
  return at::randn(shape, generator, at::kFloat) * scale;
}

inline double worst(const at::Tensor& a, const at::Tensor& b) {
  REQUIRE(a.sizes() == b.sizes());
  return a.numel() == 0 ? 0.0 : (a.to(at::kFloat) - b.to(at::kFloat)).abs().max().item<double>();
}

// Gradients of sum(f(inputs) * weights) for every input.
inline Tensors gradients(const std::function<at::Tensor(const Tensors&)>& f, Tensors inputs,
                         const at::Tensor& weights) {
  for (at::Tensor& x : inputs) x = x.detach().clone().requires_grad_(true);
  const at::Tensor y = f(inputs);
  torch::autograd::backward({(y.to(at::kFloat) * weights).sum()}, {});
  Tensors out;
  for (const at::Tensor& x : inputs) out.push_back(x.grad());
  return out;
}

[[maybe_unused]] static void compare(const std::function<at::Tensor(const Tensors&)>& fast,
                                     const std::function<at::Tensor(const Tensors&)>& slow,
                                     const Tensors& inputs, double tolerance) {
  const at::Tensor y = fast(inputs), expected = slow(inputs);
  CHECK(worst(y, expected) <= tolerance * expected.abs().max().item<double>() + 1e-12);
  const at::Tensor weights = random(y.sizes());
  const auto got = gradients(fast, inputs, weights), want = gradients(slow, inputs, weights);
  for (size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);
    CHECK(worst(got[i], want[i]) <= tolerance * std::max(want[i].abs().max().item<double>(), 0.5));
  }
}

}  // namespace temper
