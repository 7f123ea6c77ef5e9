#include "model/attention_heads.h"

#include <ATen/ATen.h>

#include <tuple>

#include "model/families.h"
#include "model/latent.h"

namespace temper {
namespace {

using at::Tensor;

// Each query head stands beside its gate: [N, Q D + 2 K D] without them, and the gates [N, Q D].
std::pair<Tensor, Tensor> without_gate(const ModelConfig& c, const Tensor& qkv) {
  const int64_t n = qkv.size(0), q = c.heads * c.head_dim, d = c.head_dim;
  const Tensor both = qkv.narrow(1, 0, 2 * q).reshape({n, c.heads, 2 * d});
  return {at::cat({both.narrow(2, 0, d).reshape({n, q}), qkv.narrow(1, 2 * q, qkv.size(1) - 2 * q)}, 1),
          both.narrow(2, d, d).reshape({n, q})};
}

// short_vectors: [queries or their short vector | latent | turned key].
AttentionHeads latent_heads(const ModelConfig& c, const BlockWeights& w, const Tensor& short_vectors,
                            const RotaryAngles& angles, const PassMath& math, const Tensor* up) {
  const Latent& a = c.latent;
  constexpr double kEps = 1e-6;  // whatever rms_norm_eps is
  const auto parts =
      short_vectors.split_with_sizes({short_vectors.size(1) - a.rank - a.turned, a.rank, a.turned}, 1);
  Tensor q = parts[0];
  if (w.query_norm != nullptr) q = math.project(w.q_up, rms_norm(q, w.query_norm->master, kEps));
  const auto split_q = q.reshape({-1, c.heads, c.head_dim}).split_with_sizes({a.unturned, a.turned}, 2);
  const LatentTokens tokens{at::cat({split_q[0], rotary(split_q[1], angles)}, 2),
                            rms_norm(parts[1], w.latent_norm->master, kEps),
                            rotary(parts[2].unsqueeze(1), angles)};
  const std::vector<Tensor> heads = up != nullptr
                                        ? heads_over_latents(a, tokens, *up)
                                        : whole_heads(a, tokens, math.project(w.kv_up, tokens.latent));
  return {heads[0], heads[1], heads[2], {}};
}

// Neither normed nor turned, whatever of them the layer has.
AttentionHeads plain_heads(const ModelConfig& c, int64_t layer, const Tensor& qkv) {
  const int64_t n = qkv.size(0), d = c.head_dim_of(layer), kv = c.kv_heads_of(layer);
  if (kv == 0) return {qkv.view({n, c.heads, d}), {}, {}, {}};
  if (c.keys_are_values(layer)) {
    const auto parts = qkv.view({n, c.heads + kv, d}).split_with_sizes({c.heads, kv}, 1);
    return {parts[0], parts[1], parts[1], {}};
  }
  const std::vector<Tensor> all = split_heads(qkv, c.heads, kv, {});
  return {all[0], all[1], all[2], {}};
}

}  // namespace

const Tensor* latent_up(const ModelConfig& c, int64_t layer, const BlockWeights& w, AttentionContext& context,
                        const PassMath& math) {
  Tensor* up = c.latent.rank > 0 ? context.latent_up(layer) : nullptr;
  if (up == nullptr || up->defined()) return up;
  const Tensor eye = at::eye(c.latent.rank, w.latent_norm->compute.options().requires_grad(false));
  *up = math.project(w.kv_up, eye).t().contiguous().view({c.heads, -1, c.latent.rank});
  return up;
}

AttentionHeads attention_heads(const ModelConfig& c, int64_t layer, const BlockWeights& w, const Tensor& h,
                               const RotaryAngles& angles, const PassMath& math, const Tensor* up) {
  Tensor qkv = math.project(w.qkv, h), gate;
  if (c.gated) std::tie(qkv, gate) = without_gate(c, qkv);
  if (c.latent.rank > 0) return latent_heads(c, w, qkv, angles, math, up);
  if (c.qk_norm == QkNorm::kWhole) {
    const int64_t q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
    qkv = at::cat({math.norm(qkv.narrow(1, 0, q), w.q_norm), math.norm(qkv.narrow(1, q, kv), w.k_norm),
                   qkv.narrow(1, q + kv, kv)},
                  1);
  }
  if (c.qk_norm != QkNorm::kHead) {
    const std::vector<Tensor> turned = split_heads(qkv, c.heads, c.kv_heads, angles);
    return {turned[0], turned[1], turned[2], gate};
  }
  AttentionHeads out = plain_heads(c, layer, qkv);
  out.gate = gate;
  out.q = math.norm(out.q, w.q_norm);
  if (angles.cos.defined()) out.q = rotary(out.q, angles);
  if (!out.k.defined()) return out;
  if (family_of(c).norms_values) out.v = math.norm(out.v);
  out.k = math.norm(out.k, w.k_norm);
  if (angles.cos.defined()) out.k = rotary(out.k, angles);
  return out;
}

}  // namespace temper
