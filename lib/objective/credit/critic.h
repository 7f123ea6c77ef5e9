// Actor-critic parts: advantages from a value head, traces, and the critics' losses. formulas/policy.md.
// Ragged: [M] tokens of S responses, `sequence` [M] int64 ascending.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/fields.h"

namespace temper::objective {

struct PolicyAlgorithm;
struct PolicyBatch;
struct StepTotals;

// A score head on the policy's hidden states that learns beside it. Of three kinds:
//   kValue     V(state before each token), for the advantage estimators gae, retrace and rbis
//   kRight     OREAL's token reward model: sigmoid(mean of a response's scores) is the probability that it is
//              right (its reward is above 0)
//   kOutcomes  CodeRL's: the softmax of a token's kOutcomeCount scores are the probabilities of the outcomes
//              that the response can have, from the worst to the best
enum class CriticKind { kValue, kRight, kOutcomes };
inline constexpr int64_t kOutcomeCount = 4;

struct CriticOptions : Fields {
  CriticKind kind = CriticKind::kValue;  // as the algorithm needs it; not a field
  std::string trunk = "shared";
  double coef = 0.1;
  int64_t warmup = 0;
  double gamma = 1.0, lambda = 0.95, value_clip = 0.2;  // value
  bool whiten = true;                                   // value
  std::string pool = "token";                           // outcomes: | max
  void fields(FieldVisitor& v) override;
};
// "gae", "retrace", "rbis": the advantage estimators that read a value critic.
const std::vector<std::string>& critic_estimators();

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

// token_advantage and value_target of a step for the estimators above: its rewards are token_reward, or else
// stand on the last tokens, and, with kl_in "reward", kl_coef (logp_old - logp_ref) is taken off at every
// token. `step` needs reward, value_old, logp_old, and logp for traces off the policy. With `whiten` the
// advantages of all included tokens get mean 0 and deviation 1 (verl's masked_whiten). A response without a
// reward gets advantage 0 and its own values as target.
ValueEstimate critic_advantages(const PolicyAlgorithm& algorithm, const PolicyBatch& step);

// A micro-batch's share of the critic's loss over the step, before `coef`. kValue: the mean over tokens of
// value_loss. kRight: the mean over responses with a reward of the cross entropy of whether they are right.
// kOutcomes: the cross entropy with the response's outcome, of each of its tokens, as a mean over the tokens
// of all responses with an outcome; with pool "max" of the largest scores of its tokens, as a mean over those
// responses.
at::Tensor critic_loss(const CriticOptions& critic, const PolicyBatch& batch, const StepTotals& step);

// [S] rewards -> [M]: each on the last token of its response. A response without tokens has no place for it.
at::Tensor reward_on_last_token(const at::Tensor& reward, const at::Tensor& sequence, int64_t sequences);

// PPO's clipped critic loss per token: max((v - target)^2, (clip(v, v_old - clip, v_old + clip) - target)^2)
// / 2. [M]
at::Tensor value_loss(const at::Tensor& value, const at::Tensor& value_old, const at::Tensor& target,
                      double clip);

// The critic's probability of the outcome that a token's response had: score [M, kOutcomeCount], outcome [S]
// int64, -1: not known -> [M] in the scores' type, detached; 0 where it is not known. CodeRL's q_t.
at::Tensor outcome_probability(const at::Tensor& score, const at::Tensor& outcome,
                               const at::Tensor& sequence);

}  // namespace temper::objective
