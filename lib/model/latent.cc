#include "model/latent.h"

#include <ATen/ATen.h>

namespace temper {

using at::Tensor;

std::vector<Tensor> whole_heads(const Latent& a, const LatentTokens& tokens, const Tensor& up) {
  const int64_t n = tokens.q.size(0), heads = tokens.q.size(1);
  const auto kv = up.reshape({n, heads, a.unturned + a.value}).split_with_sizes({a.unturned, a.value}, 2);
  return {tokens.q, at::cat({kv[0], tokens.turned.expand({n, heads, a.turned})}, 2),
          at::constant_pad_nd(kv[1], {0, a.unturned + a.turned - a.value})};
}

std::vector<Tensor> heads_over_latents(const Latent& a, const LatentTokens& tokens, const Tensor& up) {
  const auto q = tokens.q.split_with_sizes({a.unturned, a.turned}, 2);
  const Tensor over_latents = at::bmm(q[0].transpose(0, 1), up.narrow(1, 0, a.unturned)).transpose(0, 1);
  const Tensor latent = tokens.latent.unsqueeze(1);
  return {at::cat({over_latents, q[1]}, 2), at::cat({latent, tokens.turned}, 2),
          at::constant_pad_nd(latent, {0, a.turned})};
}

Tensor values_of_latents(const Latent& a, const Tensor& attended, const Tensor& up) {
  const Tensor sums = attended.narrow(2, 0, a.rank).transpose(0, 1);  // [Q, N, rank]
  return at::bmm(sums, up.narrow(1, a.unturned, a.value).transpose(1, 2)).transpose(0, 1);
}

}  // namespace temper
