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

// h [N, H]: the layer's input, normed.
AttentionHeads attention_heads(const ModelConfig& config, int64_t layer, const BlockWeights& w,
                               const at::Tensor& h, const RotaryAngles& angles, const PassMath& math);

}  // namespace temper
