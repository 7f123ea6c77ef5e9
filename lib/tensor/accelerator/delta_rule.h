// The gated delta rule (recurrent/delta_rule.h) in whole-tensor operations, which autograd differentiates:
// what depends on a chunk of 64 tokens alone is computed for all chunks at once, and the states of all chunks
// that stand equally far from their roots together, so that a group's answers cost as many launches as one.
#pragma once

#include "tensor/recurrent/delta_rule.h"

namespace temper::on_device {

DeltaRuleResult gated_delta_rule(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                 const at::Tensor& log_decay, const at::Tensor& beta,
                                 const std::vector<Segment>& segments, const std::vector<int64_t>& ends = {},
                                 const at::Tensor& initial = {});

}  // namespace temper::on_device
