// The gated delta rule (arXiv:2412.06464; Qwen3-Next, Qwen3.5): linear attention whose memory is a matrix
// S [Dk, Dv] a value head, in fp32. A token does
//   S <- exp(g) S;  d = beta (v - S^T k);  S <- S + k d^T;  o = S^T q.
// In a packed batch S is 0 before a root segment, and a child segment begins with a copy of its parent's last
// state. Shapes: q, k [N, Hk, Dk], already normalised and scaled; v [N, Hv, Dv]; log_decay (g <= 0) and beta
// [N, Hv] fp32. Value head h reads head h / (Hv / Hk) of q and k. q, k and v are fp32 or bf16, all else is
// fp32.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "tensor/packed.h"

namespace temper {

// -> [N, Hv, Dv] in v's type, differentiable in all five. Computed 64 tokens at a time; memory for backward
// is that of the inputs.
at::Tensor gated_delta_rule(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const at::Tensor& log_decay, const at::Tensor& beta,
                            const std::vector<Segment>& segments);

struct DeltaRuleResult {
  at::Tensor out;     // [N, Hv, Dv]
  at::Tensor states;  // [ends, Hv, Dk, Dv] fp32
};

// The same without a gradient, for decoding: also the states behind the last tokens of the segments `ends`.
// initial [roots, Hv, Dk, Dv] fp32, in the order of the roots, stands before them in the place of zeros.
DeltaRuleResult gated_delta_prefill(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                    const at::Tensor& log_decay, const at::Tensor& beta,
                                    const std::vector<Segment>& segments, const std::vector<int64_t>& ends,
                                    const at::Tensor& initial = {});

// One token for each of B sequences: the shapes above with B for N. state [B, Hv, Dk, Dv] fp32, contiguous,
// is updated in place. No gradient. -> [B, Hv, Dv]
at::Tensor gated_delta_step(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const at::Tensor& log_decay, const at::Tensor& beta, at::Tensor& state);

namespace reference {
// Token by token; differentiable.
DeltaRuleResult gated_delta_rule(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                 const at::Tensor& log_decay, const at::Tensor& beta,
                                 const std::vector<Segment>& segments, const std::vector<int64_t>& ends = {},
                                 const at::Tensor& initial = {});
at::Tensor gated_delta_step(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const at::Tensor& log_decay, const at::Tensor& beta, at::Tensor& state);
}  // namespace reference

}  // namespace temper
