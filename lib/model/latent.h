// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434): keys and values of all heads come from one
// short vector a token, c [rank], and one turned key [turned] that all heads share. Head h has keys
// [K_h c | turned] and values V_h c, where K_h [unturned, rank] and V_h [value, rank] are rows of one
// projection. Q heads, N tokens.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "model/config.h"

namespace temper {

// What is known of a token before keys and values are made.
struct LatentTokens {
  at::Tensor q;       // [N, Q, unturned + turned], turned
  at::Tensor latent;  // [N, rank], normed
  at::Tensor turned;  // [N, 1, turned]
};

// q, k and v [N, Q, unturned + turned] of whole heads, values filled up with zeros. up [N, Q (unturned +
// value)]: the projection of the latents.
std::vector<at::Tensor> whole_heads(const Latent& shape, const LatentTokens& tokens, const at::Tensor& up);

// The same attention over the latents themselves, so that a cache keeps rank + turned numbers a token in
// place of Q keys and values: q_h . K_h c = (K_h^T q_h) . c, and sum_t w_t V_h c_t = V_h sum_t w_t c_t.
// up [Q, unturned + value, rank]: K_h above V_h. q [N, Q, rank + turned], and k and v of one head, [N, 1,
// rank
// + turned], values filled up with zeros.
std::vector<at::Tensor> heads_over_latents(const Latent& shape, const LatentTokens& tokens,
                                           const at::Tensor& up);
// Of what attention over latents gave, [N, Q, rank + turned], the heads' values [N, Q, value].
at::Tensor values_of_latents(const Latent& shape, const at::Tensor& attended, const at::Tensor& up);

}  // namespace temper
