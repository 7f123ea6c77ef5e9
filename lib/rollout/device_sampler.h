// Drawing the tokens of a decoding step where their logits are: what goes to the host is three numbers a
// sequence.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "rollout/sampler.h"

namespace temper {

// Whether sample_tokens can do it: penalties and mirostat are the host's.
bool samples_on_device(const SamplingOptions& options);

// Log-probs of each row of logits [B, V] fp32 at the options' temperature, over the whole vocabulary.
at::Tensor scaled_logp(const at::Tensor& logits, const SamplingOptions& options);

// `open` with -inf for what the options' truncations leave out, in their order, each over the survivors of
// the one before (formulas/sampling.md). Never waits for the device.
at::Tensor truncated(const at::Tensor& open, const SamplingOptions& options);

// One draw a row with uniform [B] fp64 in [0, 1): [B, 3] fp64 of the token, its log-prob as drawn, and its
// log-prob in full. open: full with -inf where a token is ruled out. Never waits for the device.
at::Tensor draw_tokens(const at::Tensor& full, const at::Tensor& open, const SamplingOptions& options,
                       const at::Tensor& uniform);

// What draw_tokens gave, on the host. Where it is not finite (the model diverged, or all is ruled out) throws
// as sample_token does of that row of logits.
std::vector<SampledToken> read_draws(const at::Tensor& drawn, const at::Tensor& logits,
                                     const SamplingOptions& options,
                                     const std::vector<std::vector<int64_t>>& banned);

// As sample_token, of each row of logits [B, V] fp32 on any device: one draw with uniform[b], the ids of
// banned[b] ruled out. Sums are by other kernels than the host's, so that a draw next to the edge between two
// tokens may go to the other one. Throws as sample_token does.
std::vector<SampledToken> sample_tokens(const at::Tensor& logits, const SamplingOptions& options,
                                        const std::vector<std::vector<int64_t>>& banned,
                                        const std::vector<double>& uniform);

}  // namespace temper
