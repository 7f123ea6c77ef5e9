#include "objective/policy/critic.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "objective/policy/policy.h"
#include "objective/policy/ratio.h"
#include "tensor/packed.h"

namespace temper::objective {

void CriticOptions::fields(FieldVisitor& v) {
  v.field("trunk", trunk,
          {.help = "whether the critic's loss also trains the hidden states that it reads",
           .choices = {"shared", "detached"}});
  v.field("coef", coef, {.help = "weight of the critic's loss", .min = 0});
  v.field("warmup", warmup,
          {.help = "first steps in which only the critic learns and the policy stays",
           .unit = "steps",
           .min = 0});
  if (outcome) return;
  v.field("gamma", gamma, {.help = "discount a token", .min = 0, .max = 1});
  v.field("lambda", lambda, {.help = "decay of the trace a token", .min = 0, .max = 1});
  v.field("value_clip", value_clip,
          {.help = "the value may leave what it was at sampling by this much before its gradient stops",
           .min = 0});
  v.field("whiten", whiten, {.help = "give the step's advantages mean 0 and deviation 1"});
}

const std::vector<std::string>& critic_estimators() {
  static const std::vector<std::string> names = {"gae", "retrace", "rbis"};
  return names;
}

ValueEstimate estimate_values(const std::string& trace, const at::Tensor& reward, const at::Tensor& value,
                              const at::Tensor& log_ratio, const at::Tensor& sequence, double gamma,
                              double lambda) {
  if (trace != "gae" && trace != "retrace" && trace != "rbis") bug("unknown trace \"{}\"", trace);
  if (trace != "gae" && !log_ratio.defined()) bug("trace {} needs log-ratios", trace);
  const auto host = [](const at::Tensor& t) { return t.detach().to(at::kCPU, at::kDouble).contiguous(); };
  const at::Tensor rewards = host(reward), values = host(value), rows = sequence.to(at::kCPU).contiguous();
  const at::Tensor ratios = log_ratio.defined() ? host(log_ratio) : at::Tensor();
  const int64_t tokens = rewards.size(0);
  const double* r = rewards.const_data_ptr<double>();
  const double* v = values.const_data_ptr<double>();
  const double* d = ratios.defined() ? ratios.const_data_ptr<double>() : nullptr;
  const int64_t* row = rows.const_data_ptr<int64_t>();
  at::Tensor advantage = at::zeros({tokens}, at::kDouble);
  double* a = advantage.mutable_data_ptr<double>();

  const auto same = [&](int64_t t) { return t + 1 < tokens && row[t + 1] == row[t]; };
  const auto delta = [&](int64_t t) { return r[t] + (same(t) ? gamma * v[t + 1] : 0.0) - v[t]; };
  if (trace != "rbis") {
    for (int64_t t = tokens - 1; t >= 0; --t) {
      a[t] = delta(t);
      if (same(t))
        a[t] += gamma * lambda *
                (d != nullptr && trace == "retrace" ? std::exp(std::min(0.0, d[t + 1])) : 1.0) * a[t + 1];
    }
  } else {
    // The bound depends on where the trace began, so each start walks its own way; it ends when nothing is
    // left of it.
    const double bound = std::log(lambda);
    for (int64_t t = 0; t < tokens; ++t) {
      double log_beta = 0.0;
      a[t] = delta(t);
      for (int64_t k = 1; same(t + k - 1); ++k) {
        log_beta = std::min(static_cast<double>(k) * bound, d[t + k] + log_beta);
        a[t] += std::pow(gamma, static_cast<double>(k)) * std::exp(log_beta) * delta(t + k);
      }
    }
  }
  return {advantage.to(value.options().requires_grad(false)),
          (advantage + values).to(value.options().requires_grad(false))};
}

ValueEstimate critic_advantages(const PolicyAlgorithm& algorithm, const PolicyBatch& step) {
  if (!step.value_old.defined() || !step.logp_old.defined())
    bug("a critic's batch has no value_old or logp_old");
  const CriticOptions& critic = algorithm.critic;
  const at::Tensor known = step.reward.isnan().logical_not();
  at::Tensor reward = reward_on_last_token(at::nan_to_num(step.reward, 0.0), step.sequence, step.sequences);
  if (algorithm.kl_coef > 0 && algorithm.kl_in == "reward")
    reward = reward - algorithm.kl_coef * (step.logp_old - step.logp_ref);
  const at::Tensor moved = (step.logp.defined() ? step.logp : step.logp_old) - step.logp_old;
  ValueEstimate out = estimate_values(algorithm.advantage, reward, step.value_old, moved, step.sequence,
                                      critic.gamma, critic.lambda);
  const at::Tensor given = gather_sequence(known, step.sequence);
  if (critic.whiten) {
    const at::Tensor keep = (gather_sequence(included(step), step.sequence) * given).to(at::kDouble),
                     count = keep.sum();
    const at::Tensor a = out.advantage.to(at::kDouble);
    const at::Tensor centred = a - (a * keep).sum() / count.clamp_min(1);
    const at::Tensor variance = (centred.square() * keep).sum() / (count - 1).clamp_min(1);
    out.advantage = (centred / (variance + 1e-8).sqrt()).to(out.advantage.scalar_type());
  }
  out.advantage = at::where(given, out.advantage, at::zeros_like(out.advantage));
  out.target = at::where(given, out.target, step.value_old);
  return out;
}

at::Tensor critic_loss(const CriticOptions& critic, const PolicyBatch& batch, const StepTotals& step) {
  if (!critic.outcome) {
    const at::Tensor loss = value_loss(batch.value, batch.value_old, batch.value_target, critic.value_clip);
    const at::Tensor keep = gather_sequence(included(batch), batch.sequence);
    return (loss * keep).sum() / std::max(step.tokens, 1.0);
  }
  const at::Tensor score = segment_mean(batch.value, batch.sequence, batch.sequences);
  const at::Tensor known = batch.reward.isnan().logical_not().logical_and(has_tokens(batch).gt(0));
  const at::Tensor loss = at::where(batch.reward.gt(0), -at::log_sigmoid(score), -at::log_sigmoid(-score));
  return at::where(known, loss, at::zeros_like(loss)).sum() / std::max(step.rewarded, 1.0);
}

at::Tensor reward_on_last_token(const at::Tensor& reward, const at::Tensor& sequence, int64_t sequences) {
  const at::Tensor count = segment_count(sequence, sequences).to(at::kLong);
  const at::Tensor has = count.gt(0), last = (count.cumsum(0) - 1).masked_select(has);
  return at::zeros({sequence.size(0)}, reward.options()).index_put({last}, reward.masked_select(has));
}

at::Tensor value_loss(const at::Tensor& value, const at::Tensor& value_old, const at::Tensor& target,
                      double clip) {
  const at::Tensor near = value_old + (value - value_old).clamp(-clip, clip);
  return 0.5 * at::max((value - target).square(), (near - target).square());
}

at::Tensor coderl_advantage(const at::Tensor& reward, const at::Tensor& greedy, const at::Tensor& q,
                            const at::Tensor& sequence) {
  return q * gather_sequence(reward - greedy, sequence);
}

}  // namespace temper::objective
