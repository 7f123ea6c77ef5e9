#include "objective/credit/critic.h"

#include <algorithm>
#include <cmath>
#include <limits>

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
  if (kind == CriticKind::kOutcomes) {
    v.field(
        "pool", pool,
        {.help = "what learns the outcome of a response: the scores of each of its tokens, or the largest of "
                 "them",
         .choices = {"token", "max"}});
  }
  if (kind != CriticKind::kValue) return;
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
  at::Tensor reward = step.token_reward;
  if (!reward.defined()) {
    reward = reward_on_last_token(step.reward, step.sequence, step.sequences);
    const at::Tensor unknown = gather_sequence(step.reward.isnan(), step.sequence);
    reward = reward.masked_fill(unknown, std::numeric_limits<double>::quiet_NaN());
  }
  const at::Tensor given = reward.isnan().logical_not();
  reward = at::nan_to_num(reward, 0.0);
  if (algorithm.kl_coef > 0 && algorithm.kl_in == "reward")
    reward = reward - algorithm.kl_coef * (step.logp_old - step.logp_ref);
  const at::Tensor moved = (step.logp.defined() ? step.logp : step.logp_old) - step.logp_old;
  ValueEstimate out = estimate_values(algorithm.advantage, reward, step.value_old, moved, step.sequence,
                                      critic.gamma, critic.lambda);
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

namespace {

// Of kOutcomes, of which a response without an outcome, or left out, is no part.
at::Tensor outcome_loss(const CriticOptions& critic, const PolicyBatch& batch, const StepTotals& step) {
  const at::Tensor known = batch.outcome.ge(0).logical_and(included(batch).ne(0));
  const at::Tensor outcome = batch.outcome.clamp_min(0);
  const auto cross_entropy = [](const at::Tensor& score, const at::Tensor& which) {
    return -at::log_softmax(score, -1).gather(1, which.unsqueeze(1)).squeeze(1);
  };
  if (critic.pool == "token") {
    const at::Tensor loss = cross_entropy(batch.outcome_score, gather_sequence(outcome, batch.sequence));
    const at::Tensor counts = gather_sequence(known, batch.sequence);
    return at::where(counts, loss, at::zeros_like(loss)).sum() / std::max(step.outcome_tokens, 1.0);
  }
  std::vector<at::Tensor> largest;
  for (int64_t c = 0; c < batch.outcome_score.size(1); ++c)
    largest.push_back(segment_max(batch.outcome_score.select(1, c), batch.sequence, batch.sequences));
  const at::Tensor counts = known.logical_and(has_tokens(batch).gt(0)).nonzero().flatten();
  const at::Tensor score = at::stack(largest, 1).index_select(0, counts);
  return cross_entropy(score, outcome.index_select(0, counts)).sum() / std::max(step.outcomes, 1.0);
}

}  // namespace

at::Tensor critic_loss(const CriticOptions& critic, const PolicyBatch& batch, const StepTotals& step) {
  if (critic.kind == CriticKind::kOutcomes) return outcome_loss(critic, batch, step);
  if (critic.kind == CriticKind::kValue) {
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

at::Tensor outcome_probability(const at::Tensor& score, const at::Tensor& outcome,
                               const at::Tensor& sequence) {
  const at::Tensor of_token = gather_sequence(outcome, sequence);
  const at::Tensor p =
      at::softmax(score.detach(), -1).gather(1, of_token.clamp_min(0).unsqueeze(1)).squeeze(1);
  return at::where(of_token.ge(0), p, at::zeros_like(p));
}

}  // namespace temper::objective
