// Gated activations beside swiglu (ops.h): differentiable, fp32 inside, with a fused CPU kernel and a plain
// composite twin in namespace reference, which other devices run.
#pragma once

#include <ATen/core/Tensor.h>

namespace temper {

// gelu_tanh(gate) * up for x = [gate | up], gelu_tanh(g) = g (1 + tanh(sqrt(2/pi) (g + 0.044715 g^3))) / 2
// (arXiv:1606.08415, arXiv:2002.05202). x [N, 2 I] -> [N, I].
at::Tensor geglu(const at::Tensor& x);

// The experts' activation of gpt-oss (arXiv:2508.10925). Columns of x alternate: even ones are gates, odd
// ones ups. y = g sigmoid(alpha g) (u + 1) with g = min(gate, limit) and u = up clamped to [-limit, limit];
// no gradient passes where a value was clamped. x [N, 2 I] -> [N, I].
at::Tensor clamped_swiglu(const at::Tensor& x, double limit = 7.0, double alpha = 1.702);

namespace reference {
at::Tensor geglu(const at::Tensor& x);
at::Tensor clamped_swiglu(const at::Tensor& x, double limit = 7.0, double alpha = 1.702);
}  // namespace reference

}  // namespace temper
