// Queries, keys and values of a layer of attention, normed and turned.
#pragma once

#include <ATen/core/Tensor.h>

#include "model/config.h"
#include "model/weights.h"
#include "tensor/ops.h"

namespace temper {

// [N, Q, D], [N, K, D], [N, K, D].
struct AttentionHeads {
  at::Tensor q, k, v;  // k and v: undefined where the layer reads those of another
  at::Tensor gate;     // [N, Q D] of attention's result; undefined: there is none
};

// Of a context that keeps latents, the projection of them as it acts, adapters included: [Q, unturned +
// value, rank] (latent.h). Null elsewhere.
const at::Tensor* latent_up(const ModelConfig& config, int64_t layer, const BlockWeights& w,
                            AttentionContext& context, const PassMath& math);

// h [N, H]: the layer's input, normed. up: latent_up() of the layer; the heads are then over the latents.
AttentionHeads attention_heads(const ModelConfig& config, int64_t layer, const BlockWeights& w,
                               const at::Tensor& h, const RotaryAngles& angles, const PassMath& math,
                               const at::Tensor* up);

}  // namespace temper
