// Actor-critic parts: advantages from a value head, traces, and the critic's loss. formulas/policy.md.
// Ragged: [M] tokens of S responses, `sequence` [M] int64 ascending.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

namespace temper::objective {

struct ValueEstimate {
  at::Tensor advantage;  // [M]
  at::Tensor target;     // [M] what the critic should say: advantage + value
};

// How much of the errors of later tokens reaches an earlier one. With d = logp - logp_old and r = exp(d), the
// trace from t to t + k is the product (gae, retrace) or the recursion (rbis) of the factors in between:
//   gae      lambda
//   retrace  lambda min(1, r)
//   rbis     beta_0 = 1, beta_k = min(lambda^k, r beta_{k-1}): the recency-bounded importance sampling trace,
//   which lets
//            a small ratio be made up for by a later large one
// advantage_t = delta_t + sum over k of gamma^k beta_k delta_{t+k}, delta_t = reward_t + gamma value_{t+1} -
// value_t, the value after the last token 0. log_ratio is not read by gae and may be undefined there.
ValueEstimate estimate_values(const std::string& trace, const at::Tensor& reward, const at::Tensor& value,
                              const at::Tensor& log_ratio, const at::Tensor& sequence, double gamma,
                              double lambda);

// [S] rewards -> [M]: each on the last token of its response. A response without tokens has no place for it.
at::Tensor reward_on_last_token(const at::Tensor& reward, const at::Tensor& sequence, int64_t sequences);

// PPO's clipped critic loss per token: max((v - target)^2, (clip(v, v_old - clip, v_old + clip) - target)^2)
// / 2. [M]
at::Tensor value_loss(const at::Tensor& value, const at::Tensor& value_old, const at::Tensor& target,
                      double clip);

// CodeRL (arXiv 2207.01780): q_t (R - R of the greedy response), q the critic's probability of the actual
// outcome at each token. reward, greedy [S], q [M] -> [M], for PolicyBatch::token_advantage.
at::Tensor coderl_advantage(const at::Tensor& reward, const at::Tensor& greedy, const at::Tensor& q,
                            const at::Tensor& sequence);

}  // namespace temper::objective
