// Which experts of a mixture a token goes to, and what keeps them equally busy.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "model/config.h"
#include "tensor/packed.h"

namespace temper {

struct Routing {
  at::Tensor experts;        // [N, k] int64
  at::Tensor own;            // [N, k] int64: what the router chooses itself; experts, unless those are given
  at::Tensor weights;        // [N, k] fp32, differentiable
  at::Tensor probabilities;  // [N, E] fp32, differentiable
};

// logits [N, E] of the router, in any float type, as transformers routes by them:
// - kSoftmax (Qwen3-MoE, Mixtral): p = softmax(logits) in fp32; the k largest are chosen, with weights p,
//   divided by their sum where the config says so;
// - kSoftmaxOfChosen (gpt-oss): the k largest, with the softmax of their logits as weights;
// - kSigmoid (DeepSeek-V3, GLM-4.5): p = sigmoid(logits); chosen by p + correction [E] (undefined: 0) within
// the
//   best groups, weights p, renormalised, times the scale.
// balance_gradient [N, E]: added to the gradient of p; undefined: nothing.
// given [N, k] integer: the experts that tokens go to in place of the router's choice, with the weights that
// this router gives them; -1: the router chooses. Undefined: it chooses for all.
Routing route(const at::Tensor& logits, const Experts& experts, const at::Tensor& correction = {},
              const at::Tensor& balance_gradient = {}, const at::Tensor& given = {});

// What the routers of all sparse layers did in the passes of a step. A token counts as often as it would
// stand in a batch that shares no prompts, so that sharing changes nothing.
struct RouterCounts {
  at::Tensor chosen;              // [E] fp64: choices of an expert
  at::Tensor probability;         // [E] fp64: sum of its probabilities
  double entropy = 0;             // sum over tokens and layers, in nats
  double tokens = 0;              // tokens times sparse layers
  double compared = 0, same = 0;  // choices, and those that were the other's, too
  void add(const Routing& routing, const at::Tensor& weight);  // weight [N] fp32: how often a token counts

  // Counts which of the recorded choices [N, k] of another pass over these tokens, -1: none, are the router's
  // own as well.
  void compare(const Routing& routing, const at::Tensor& recorded, const at::Tensor& weight);

  // E sum_e f_e P_e with f_e = chosen / tokens and P_e = probability / tokens (Switch Transformer, arXiv
  // 2101.03961, over all layers as in transformers' load_balancing_loss_func; k when balanced).
  double balance_loss() const;
  // [E] fp32: its gradient for a probability of a token that counts once, E f_e / tokens. With the counts of
  // a whole step the loss is linear in the tokens' probabilities, and so the same for any cut into
  // micro-batches and ranks.
  at::Tensor balance_gradient() const;
};

// How often each token of the batch would stand in one that shares no prompts: [N] fp32.
at::Tensor token_weights_of(const PackedTokens& batch);

}  // namespace temper
