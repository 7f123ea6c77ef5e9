// The short convolution in front of a linear attention (Mamba, arXiv:2312.00752; Qwen3-Next, Qwen3.5): each
// channel over its own last K inputs,
//   y[t][c] = sum_j weight[c][j] x[t - (K - 1) + j][c],
// with zeros before a root segment; a child's first tokens see its parent's last ones. x is fp32 or bf16,
// sums are fp32. C channels, K taps.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "tensor/packed.h"

namespace temper {

// x [N, C], weight [C, K] of any float type -> [N, C], differentiable in both.
at::Tensor causal_conv(const at::Tensor& x, const at::Tensor& weight, const std::vector<Segment>& segments);

struct CausalConvResult {
  at::Tensor out;     // [N, C]
  at::Tensor states;  // [ends, C, K - 1] in x's type: the last inputs, the oldest first
};

// The same without a gradient, for decoding: also the inputs behind which the segments `ends` go on. initial
// [roots, C, K - 1], in the order of the roots, stands before them in the place of zeros.
CausalConvResult causal_conv_prefill(const at::Tensor& x, const at::Tensor& weight,
                                     const std::vector<Segment>& segments, const std::vector<int64_t>& ends,
                                     const at::Tensor& initial = {});

// One token for each of B sequences. x [B, C]; state [B, C, K - 1] is updated in place. No gradient. -> [B,
// C]
at::Tensor causal_conv_step(const at::Tensor& x, const at::Tensor& weight, at::Tensor& state);

namespace reference {
at::Tensor causal_conv(const at::Tensor& x, const at::Tensor& weight, const std::vector<Segment>& segments);
}  // namespace reference

}  // namespace temper
