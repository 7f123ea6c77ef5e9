// Layers whose memory of a sequence is a state, in the place of attention by keys and values. h [N, H]: the
// layer's input, normed -> what it adds to the stream, [N, H].
#pragma once

#include <ATen/core/Tensor.h>

#include "model/model.h"
#include "model/weights.h"

namespace temper {

// Gated delta rule (Qwen3-Next, Qwen3.5): the recurrence's result, normed by head and gated.
at::Tensor linear_attention(const ModelConfig& config, int64_t layer, const BlockWeights& w,
                            const at::Tensor& h, AttentionContext& context, const PassMath& math);

// LFM2's double-gated short convolution: with [B | C | x] = in(h), out(C * conv(B * x)).
at::Tensor short_convolution(int64_t layer, const BlockWeights& w, const at::Tensor& h,
                             AttentionContext& context, const PassMath& math);

}  // namespace temper
