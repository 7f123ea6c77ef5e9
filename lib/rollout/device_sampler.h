// Drawing the tokens of a decoding step where their logits are: what goes to the host is three numbers a
// sequence.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "rollout/sampler.h"

namespace temper {

// Whether sample_tokens can do it: truncations and penalties are the host's.
bool samples_on_device(const SamplingOptions& options);

// As sample_token, of each row of logits [B, V] fp32 on any device: one draw with uniform[b], the ids of
// banned[b] ruled out. Sums are by other kernels than the host's, so that a draw next to the edge between two
// tokens may go to the other one. Throws as sample_token does.
std::vector<SampledToken> sample_tokens(const at::Tensor& logits, const SamplingOptions& options,
                                        const std::vector<std::vector<int64_t>>& banned,
                                        const std::vector<double>& uniform);

}  // namespace temper
