// Embeddings that each layer has of its own (per-layer embeddings, Gemma 3n and 4): a second table gives
// every token a short vector for every layer, which tells the layer's input once more which token it is. P:
// their width, L layers.
#pragma once

#include <ATen/core/Tensor.h>

#include "model/config.h"
#include "model/weights.h"

namespace temper {

// e [N, L, P] = (norm(projection(x) / sqrt(H)) + sqrt(P) table[ids]) / sqrt(2) of ids [N] and x [N, H], what
// goes into the first block.
at::Tensor own_embeddings(const ModelConfig& config, const Weights& w, const at::Tensor& ids,
                          const at::Tensor& x, const PassMath& math);

// What a layer adds to its stream x [N, H] at its end: norm(out(gelu(gate(x)) * e)), e [N, P] of the layer.
at::Tensor by_own_embedding(const OwnEmbeddingWeights& w, const at::Tensor& x, const at::Tensor& e,
                            const PassMath& math);

}  // namespace temper
