// The kernels of packed_attention() on the CPU.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "tensor/accelerator/varlen.h"
#include "tensor/ops.h"

namespace temper {

struct AttentionGradients {
  at::Tensor q, k, v, sinks;  // sinks: fp32, undefined without
};

namespace on_cpu {

// q, k, v as in packed_attention(), contiguous, fp32 or bf16.
Attended attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                   const std::vector<Segment>& segments, const AttentionLaw& law);
AttentionGradients attention_backward(const at::Tensor& dout, const at::Tensor& q, const at::Tensor& k,
                                      const at::Tensor& v, const Attended& attended,
                                      const std::vector<Segment>& segments, const AttentionLaw& law);

}  // namespace on_cpu
}  // namespace temper
