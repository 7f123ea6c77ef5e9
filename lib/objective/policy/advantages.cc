// Advantages over a step of rewards in groups, computed in double. Per group of n rewards R (nulls left out),
// mu their mean, s their unbiased standard deviation:
//   group_zscore           (R - mu) / (s + eps)                  GRPO, arXiv 2402.03300
//   group_center           R - mu                                Dr. GRPO, arXiv 2503.20783
//   batch_zscore           (R - mu) / (s of the whole step + eps)
//   rloo                   R - mean of the others = n/(n-1) (R - mu)   arXiv 2402.14740
//   reinforce_pp           R whitened over the tokens of the step      arXiv 2501.03262, verl's form
//   reinforce_pp_baseline  R - mu whitened over the tokens of the step
//   remax                  R - R of the greedy response          arXiv 2310.10505
//   ended_baseline         R - mean R of those that were told to end their thinking behind the beginning that
//                          the group shares            MRT, arXiv 2503.07572, README of CMU-AIRe/MRT
//   opo                    R - sum(length R) / sum(length)       arXiv 2505.23585
//   gae, retrace, rbis     from a critic's values, per token: credit/critic.h
//   process_zscore, return_to_go  from the scores of a response's steps, per token: credit/process.h
//   pass_at_k              the best: R - R of the second best; the others 0      arXiv 2503.19595, verl's
//   form gdpo                   z-score of each reward function in the group, weighted sum, z-score over the
//   step; TRL's form
#include "objective/policy/advantages.h"

#include <algorithm>

#include "base/error.h"
#include "objective/policy/ratio.h"
#include "tensor/packed.h"

namespace temper::objective {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

at::Tensor unbiased_deviation(const at::Tensor& squares, const at::Tensor& count) {
  return (squares / (count - 1).clamp_min(1)).sqrt();
}

struct Group {
  GroupIndex groups;
  at::Tensor sum(const at::Tensor& value) const {  // [S] -> [S], the sum over each sequence's group
    return gather_sequence(segment_sum(value, groups.index, groups.count), groups.index);
  }
  at::Tensor max(const at::Tensor& value) const {
    return gather_sequence(segment_max(value, groups.index, groups.count), groups.index);
  }
};

struct Statistics {
  Group group;
  at::Tensor valid;      // [S] bool: has a reward
  at::Tensor reward;     // [S] double, 0 where null
  at::Tensor count;      // [S] rewards in its group
  at::Tensor centered;   // [S] R - mu; exactly 0 in a group of equal rewards, whatever the rounding of mu
  at::Tensor deviation;  // [S] s of its group, 0 for fewer than two rewards
};

Statistics statistics(const at::Tensor& reward, const at::Tensor& group) {
  Statistics out;
  out.group.groups = index_groups(group);
  const at::Tensor all = reward.to(at::kDouble);
  out.valid = all.isnan().logical_not();
  out.reward = at::nan_to_num(all, 0.0);
  out.count = out.group.sum(out.valid.to(at::kDouble));
  const at::Tensor mean = out.group.sum(out.reward) / out.count.clamp_min(1);
  const at::Tensor high = out.group.max(at::where(out.valid, out.reward, -kInfinity));
  const at::Tensor low = -out.group.max(at::where(out.valid, -out.reward, -kInfinity));
  out.centered = at::where(out.valid.logical_and(high.ne(low)), out.reward - mean, 0.0);
  out.deviation = unbiased_deviation(out.group.sum(out.centered.square()), out.count);
  return out;
}

// 0/0 is 0: no deviation means nothing to prefer.
at::Tensor zero_safe_divide(const at::Tensor& centered, const at::Tensor& scale) {
  return at::where(centered.eq(0), at::zeros_like(centered), centered / scale);
}

// (value - mean) / (s + eps) over the valid values of the step.
at::Tensor zscore_over_step(const at::Tensor& value, const at::Tensor& valid, double eps) {
  const at::Tensor present = valid.to(at::kDouble), count = present.sum();
  const at::Tensor centered = (value - (value * present).sum() / count.clamp_min(1)) * present;
  return zero_safe_divide(centered, unbiased_deviation(centered.square().sum(), count) + eps);
}

// Mean and deviation weigh each response by its tokens, and the 1e-8 stands under the root, as in verl's
// masked_whiten.
at::Tensor whiten_over_tokens(const at::Tensor& value, const at::Tensor& valid, const at::Tensor& length) {
  const at::Tensor tokens = length.to(at::kDouble) * valid.to(at::kDouble), count = tokens.sum();
  const at::Tensor centered = (value - (value * tokens).sum() / count.clamp_min(1)) * valid.to(at::kDouble);
  const at::Tensor variance = (centered.square() * tokens).sum() / (count - 1).clamp_min(1);
  return centered / (variance + 1e-8).sqrt();
}

using Step = StepRewards;

at::Tensor group_zscore(const Statistics& s, const Step&, double eps) {
  return zero_safe_divide(s.centered, s.deviation + eps);
}

at::Tensor group_center(const Statistics& s, const Step&, double) {
  return s.centered;
}

at::Tensor batch_zscore(const Statistics& s, const Step&, double eps) {
  const at::Tensor present = s.valid.to(at::kDouble), count = present.sum();
  const at::Tensor mean = s.reward.sum() / count.clamp_min(1);
  const at::Tensor squares = ((s.reward - mean) * present).square().sum();
  return zero_safe_divide(s.centered, unbiased_deviation(squares, count) + eps);
}

at::Tensor rloo_advantage(const Statistics& s, const Step&, double) {
  return s.centered * s.count / (s.count - 1).clamp_min(1);
}

at::Tensor reinforce_pp_advantage(const Statistics& s, const Step& step, double) {
  return whiten_over_tokens(s.reward, s.valid, step.length);
}

at::Tensor reinforce_pp_baseline_advantage(const Statistics& s, const Step& step, double) {
  return whiten_over_tokens(s.centered, s.valid, step.length);
}

at::Tensor remax_advantage(const Statistics& s, const Step& step, double) {
  const at::Tensor difference = s.reward - step.greedy.to(at::kDouble);
  return at::where(s.valid, at::nan_to_num(difference, 0.0), 0.0);
}

at::Tensor ended_baseline(const Statistics& s, const Step& step, double) {
  const at::Tensor end = step.ended.to(at::kDouble) * s.valid.to(at::kDouble), count = s.group.sum(end);
  const at::Tensor baseline = s.group.sum(end * s.reward) / count.clamp_min(1);
  return at::where(s.valid.logical_and(s.deviation.gt(0)).logical_and(count.gt(0)), s.reward - baseline, 0.0);
}

at::Tensor opo_advantage(const Statistics& s, const Step& step, double) {
  const at::Tensor length = step.length.to(at::kDouble) * s.valid.to(at::kDouble);
  const at::Tensor baseline = s.group.sum(length * s.reward) / s.group.sum(length).clamp_min(1);
  return at::where(s.valid.logical_and(s.deviation.gt(0)), s.reward - baseline, 0.0);
}

at::Tensor pass_at_k_advantage(const Statistics& s, const Step&, double) {
  const at::Tensor reward = at::where(s.valid, s.reward, -kInfinity);
  const at::Tensor best = s.group.max(reward), is_best = s.valid.logical_and(reward.eq(best));
  const at::Tensor alone = is_best.logical_and(s.group.sum(is_best.to(at::kDouble)).eq(1));
  const at::Tensor second = s.group.max(at::where(is_best, -kInfinity, reward));
  return at::where(alone.logical_and(s.count.gt(1)), best - second, at::zeros_like(best));
}

at::Tensor gdpo_advantage(const Statistics& s, const Step& step, double eps) {
  at::Tensor total = at::zeros_like(s.reward);
  at::Tensor valid = at::zeros_like(s.valid);
  for (int64_t f = 0; f < step.parts.size(1); ++f) {
    const Statistics part = statistics(step.parts.select(1, f), step.group);
    total = total + step.part_weights.at(f) * group_zscore(part, step, eps);
    valid = valid.logical_or(part.valid);
  }
  return zscore_over_step(total, valid, eps);
}

struct Estimator {
  const char* name;
  at::Tensor (*compute)(const Statistics&, const Step&, double eps);
  bool length = false, greedy = false, parts = false, ended = false;
};
constexpr Estimator kEstimators[] = {
    {"group_zscore", group_zscore},
    {"group_center", group_center},
    {"batch_zscore", batch_zscore},
    {"rloo", rloo_advantage},
    {"reinforce_pp", reinforce_pp_advantage, true},
    {"reinforce_pp_baseline", reinforce_pp_baseline_advantage, true},
    {"remax", remax_advantage, false, true},
    {"opo", opo_advantage, true},
    {"pass_at_k", pass_at_k_advantage},
    {"gdpo", gdpo_advantage, false, false, true},
    {"ended_baseline", ended_baseline, false, false, false, true},
};

const Estimator& find(const std::string& name) {
  for (const Estimator& estimator : kEstimators) {
    if (name == estimator.name) return estimator;
  }
  bug("unknown advantage estimator \"{}\"", name);
}

}  // namespace

std::vector<std::string> advantage_names() {
  std::vector<std::string> out;
  for (const Estimator& estimator : kEstimators) out.emplace_back(estimator.name);
  for (const auto* others : {&critic_estimators(), &process_estimators()})
    out.insert(out.end(), others->begin(), others->end());
  return out;
}

Needs advantage_needs(const std::string& name) {
  const auto& critics = critic_estimators();
  if (std::find(critics.begin(), critics.end(), name) != critics.end()) return {.value = true};
  const auto& steps = process_estimators();
  if (std::find(steps.begin(), steps.end(), name) != steps.end()) return {.process = true};
  const Estimator& estimator = find(name);
  return {.greedy_reward = estimator.greedy, .reward_parts = estimator.parts, .ended = estimator.ended};
}

at::Tensor advantages(const PolicyAlgorithm& algorithm, const StepRewards& step) {
  const Estimator& estimator = find(algorithm.advantage);
  const auto demand = [&](bool needed, const at::Tensor& tensor, const char* what) {
    if (needed && !tensor.defined()) bug("advantage {} needs {}", estimator.name, what);
  };
  demand(estimator.length, step.length, "lengths");
  demand(estimator.greedy, step.greedy, "greedy rewards");
  demand(estimator.parts, step.parts, "the reward of each function");
  demand(estimator.ended, step.ended, "which responses were told to end their thinking");
  return estimator.compute(statistics(step.reward, step.group), step, algorithm.advantage_eps)
      .to(step.reward.scalar_type());
}

at::Tensor advantages(const PolicyAlgorithm& algorithm, const at::Tensor& reward, const at::Tensor& group) {
  return advantages(algorithm, StepRewards{.reward = reward, .group = group});
}

at::Tensor group_zscores(const at::Tensor& value, const at::Tensor& group, double eps) {
  return group_zscore(statistics(value, group), {}, eps);
}

at::Tensor group_centred(const at::Tensor& value, const at::Tensor& group) {
  return statistics(value, group).centered;
}

at::Tensor keep_groups(const at::Tensor& reward, const at::Tensor& group) {
  const Statistics s = statistics(reward, group);
  return s.group.sum(s.centered.ne(0).to(at::kDouble)).gt(0);
}

}  // namespace temper::objective
