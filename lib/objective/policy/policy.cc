#include "objective/policy/policy.h"

#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "objective/notes.h"
#include "objective/policy/advantages.h"
#include "objective/policy/ratio.h"
#include "tensor/packed.h"

namespace temper::objective {

void PolicyAlgorithm::fields(FieldVisitor& v) {
  if (objective) objective->fields(v);
  v.field("advantage", advantage, {.help = "advantage estimator", .choices = advantage_names()});
  v.field("advantage_eps", advantage_eps,
          {.help = "added to the standard deviation of the z-scores", .min = 0});
  v.field("reduction", reduction,
          {.help = "how per-token values become one loss: mean of the sequences' means, mean over all tokens "
                   "of the step, or "
                   "sums divided by max_length",
           .choices = {"seq_mean_token_mean", "token_mean", "seq_mean_token_sum"}});
  v.field("max_length", max_length,
          {.help = "constant that seq_mean_token_sum divides by; 0: rollout.max_new_tokens",
           .unit = "tokens",
           .min = 0});
  v.field("kl_coef", kl_coef,
          {.help = "weight of the KL to the reference model; 0: no reference model is used", .min = 0});
  v.field("kl_in", kl_in,
          {.help = "where the KL goes: a term of the loss, or taken off the reward",
           .choices = {"loss", "reward"}});
  v.field("kl_estimator", kl_estimator,
          {.help = "estimator of the KL in the loss (in the reward it is k1); k3+ is the value of k3 with "
                   "the gradient of k2",
           .choices = {"k1", "k2", "k3", "k3+"}});
  v.field("kl_importance_weight", kl_importance_weight,
          {.help = "weigh the KL in the loss by exp(logp - logp_old), which makes it unbiased off policy"});
  v.field(
      "entropy_coef", entropy_coef,
      {.help = "weight of the policy's mean entropy, which is taken off the loss; 0: no bonus", .min = 0});
  v.field("entropy_reduction", entropy_reduction,
          {.help = "what the mean is over: as the loss reduces per-token values, or all tokens of the step",
           .choices = {"as_loss", "token_mean"}});
  v.field("correction", correction,
          {.help = "weight exp(logp_old - logp_rollout) for a decode engine that differs from the trainer: "
                   "clipped to the "
                   "bounds, or 0 outside them",
           .choices = {"none", "truncate", "mask"}});
  v.field("correction_level", correction_level,
          {.help = "one weight a token or a sequence", .choices = {"token", "sequence"}});
  v.field("correction_low", correction_low, {.help = "lower bound of the correction weight", .min = 0});
  v.field("correction_high", correction_high, {.help = "upper bound of the correction weight", .min = 0});
  v.field("progress_bonus", progress_bonus,
          {.help = "(alpha) of MRT: times the difference of mean rewards between going on from a shared "
                   "beginning and ending there, added to the rewards of those that go on; 0: off",
           .min = 0});
  v.field("filter_zero_variance", filter_zero_variance,
          {.help = "drop groups whose unshaped rewards are all equal, and generate more"});
  v.field("filter_max_rounds", filter_max_rounds,
          {.help = "generation rounds a step may take to fill up", .unit = "rounds", .min = 1});
  v.field("overlong_buffer", overlong_buffer,
          {.help = "soft penalty on the last stretch before max_new_tokens: below 1 a share of it, else "
                   "tokens; 0: off",
           .unit = "share or tokens",
           .min = 0});
  v.field("overlong_penalty", overlong_penalty, {.help = "the penalty at the limit", .min = 0});
  v.field("mask_truncated", mask_truncated,
          {.help = "leave responses that hit max_new_tokens out of the loss"});
  if (objective && needs().critic()) {
    critic.kind = needs().value           ? CriticKind::kValue
                  : needs().outcome_score ? CriticKind::kOutcomes
                                          : CriticKind::kRight;
    v.section("critic", critic, "the score head that learns beside the policy");
  }
  v.section("process", process, "rewards of a response's steps, at the tokens where they end");
  v.section("turn_advantage", turn_advantage, "GiGPO's comparison of turns that began in the same state");
  v.field(
      "keep_one_each", keep_one_each,
      {.help = "learn from one right and one wrong response of each group: the first with the highest and "
               "the first with the lowest reward, if these differ"});
}

void PolicyAlgorithm::check(std::vector<std::string>& problems, const std::string& where) const {
  const std::string at = where.empty() ? "" : where + ".";
  if (progress_bonus > 0 && objective && (advantage_needs(advantage).value || process.on()))
    problems.push_back(fmt::format(
        "{}progress_bonus: advantage {} is a token's, from a critic or from steps; use a group's estimator",
        at, advantage));
  if (objective) objective->check(problems, where);
  if (correction != "none" && correction_level == "token" && objective &&
      objective->make()->unit() != Unit::kToken) {
    problems.push_back(
        fmt::format("{}correction_level: \"{}\" has one value a sequence, so its correction must be at level "
                    "\"sequence\"",
                    at, name));
  }
  const auto& of_steps = process_estimators();
  const bool by_steps = std::find(of_steps.begin(), of_steps.end(), advantage) != of_steps.end();
  if (by_steps && !process.on()) {
    problems.push_back(
        fmt::format("{}process.reward: advantage \"{}\" is of the scores of steps; give the name of the "
                    "reward that has them",
                    at, advantage));
  }
  if (objective && process.on() && !by_steps && !needs().value) {
    problems.push_back(
        fmt::format("{}advantage: \"{}\" has one number a response, and process.reward scores its steps; "
                    "expected process_zscore, return_to_go, gae, retrace or rbis",
                    at, advantage));
  }
  if (by_steps && kl_coef > 0 && kl_in == "reward") {
    problems.push_back(fmt::format(
        "{}kl_in: with advantage \"{}\" the KL can only be in the loss; a critic's estimators, such "
        "as gae, take it off at every token",
        at, advantage));
  }
  if (turn_advantage.on() && objective &&
      (needs().critic() || process.on() || objective->make()->unit() != Unit::kToken)) {
    problems.push_back(fmt::format(
        "{}turn_advantage.omega: a turn's advantage is added to one of the whole conversation, for "
        "an objective of tokens; \"{}\" with advantage \"{}\" is not that",
        at, name, advantage));
  }
  if (correction_low > correction_high) {
    problems.push_back(
        fmt::format("{}correction_low: {} is above correction_high {}", at, correction_low, correction_high));
  }
}

std::vector<std::string> need_names(const Needs& needs) {
  std::vector<std::string> out;
  const auto add = [&](bool needed, const char* name) {
    if (needed) out.emplace_back(name);
  };
  add(needs.logp_old, "logp_old");
  add(needs.logp_ref, "logp_ref");
  add(needs.logp_rollout, "logp_rollout");
  add(needs.entropy, "entropy");
  add(needs.token, "token");
  add(needs.top_k > 0, "top_logp");
  add(needs.top_k > 0, "top_token");
  add(needs.token_score, "token_score");
  add(needs.value, "value");
  add(needs.outcome_score, "outcome_score");
  add(needs.outcome_score, "outcome");
  add(needs.process, "steps");
  add(needs.turn, "turns");
  add(needs.reward, "reward");
  add(needs.group, "group");
  add(needs.demonstration, "demonstration");
  add(needs.reference_reward, "reference_reward");
  add(needs.opening, "opening");
  add(needs.greedy_reward, "greedy");
  add(needs.reward_parts, "rewards");
  add(needs.ended, "ended");
  return out;
}

Needs PolicyAlgorithm::needs() const {
  Needs needs = objective->make()->needs();
  if (kl_coef > 0) needs.logp_ref = true;
  if (kl_coef > 0 && (kl_in == "reward" || kl_importance_weight)) needs.logp_old = true;
  if (entropy_coef > 0) needs.entropy = needs.entropy_gradient = true;
  const Needs estimator = advantage_needs(advantage);
  needs.greedy_reward |= estimator.greedy_reward;
  needs.reward_parts |= estimator.reward_parts;
  needs.value |= estimator.value;
  needs.ended |= estimator.ended || progress_bonus > 0;
  needs.process = process.on();
  needs.turn = turn_advantage.on();
  if (needs.value) needs.logp_old = true;
  if (correction != "none") needs.logp_old = needs.logp_rollout = true;
  return needs;
}

namespace {

// Sections' fields beside the others, as "section.field".
Json flat(const Json& fields) {
  Json out = Json::object();
  for (const auto& [key, value] : fields.items()) {
    if (!value.is_object()) {
      out[key] = value;
      continue;
    }
    for (const auto& [inner, deep] : value.items()) out[key + "." + inner] = deep;
  }
  return out;
}

}  // namespace

std::vector<std::string> departures(const PolicyAlgorithm& algorithm) {
  const auto* entry = policy_registry().find(algorithm.name);
  if (entry == nullptr) bug("no algorithm is called \"{}\"", algorithm.name);
  // The preset's values, but where the paper's are known to be others.
  Json paper = flat(dump_fields(*entry->make()));
  for (const PaperValue& p : notes_of(policy_notes(), algorithm.name).paper) paper[p.field] = p.value;
  std::vector<std::string> out;
  const Json now = flat(dump_fields(algorithm));
  for (const auto& [key, value] : now.items()) {
    const Json before = paper.contains(key) ? paper[key] : Json();
    if (before != value) out.push_back(fmt::format("{} {} (paper: {})", key, value.dump(), before.dump()));
  }
  for (const std::string& line : algorithm.objective->warnings()) out.push_back(line);
  return out;
}

StepTotals totals(const PolicyBatch& step) {
  const at::Tensor keep = included(step).to(at::kDouble);
  StepTotals out;
  out.sequences = keep.sum().item<double>();
  out.tokens = gather_sequence(keep, step.sequence).sum().item<double>();
  if (step.reward.defined()) {
    out.rewarded = (step.reward.isnan().logical_not() * has_tokens(step)).sum().item<double>();
  }
  if (step.outcome.defined()) {
    const at::Tensor known = step.outcome.ge(0) * keep;
    out.outcomes = (known * has_tokens(step)).sum().item<double>();
    out.outcome_tokens = gather_sequence(known, step.sequence).sum().item<double>();
  }
  if (step.group.defined()) {
    const GroupIndex groups = index_groups(step.group);
    out.groups = segment_sum(keep, groups.index, groups.count).gt(0).sum().item<double>();
  }
  return out;
}

at::Tensor kl(const std::string& estimator, const at::Tensor& logp, const at::Tensor& logp_ref) {
  const at::Tensor d = logp - logp_ref;
  if (estimator == "k1") return d;
  if (estimator == "k2") return 0.5 * d.square();
  const auto k3 = [](const at::Tensor& x) { return bounded_exp(-x) + x - 1; };
  if (estimator == "k3") return k3(d);
  if (estimator == "k3+") {
    const at::Tensor k2 = 0.5 * d.square();
    return k2 + (k3(d) - k2).detach();
  }
  bug("unknown KL estimator \"{}\"", estimator);
}

at::Tensor correction_weight(const PolicyAlgorithm& algorithm, const PolicyBatch& batch) {
  at::Tensor gap = (batch.logp_old - batch.logp_rollout).detach();
  if (algorithm.correction_level == "sequence") gap = segment_sum(gap, batch.sequence, batch.sequences);
  const at::Tensor ratio = bounded_exp(gap);
  if (algorithm.correction == "truncate")
    return ratio.clamp(algorithm.correction_low, algorithm.correction_high);
  const at::Tensor inside =
      ratio.ge(algorithm.correction_low).logical_and(ratio.le(algorithm.correction_high));
  return ratio * inside;
}

at::Tensor reduce(const at::Tensor& value, Unit unit, const std::string& reduction, const PolicyBatch& batch,
                  const StepTotals& step, double max_length) {
  // A step without anything included has loss 0.
  const double sequences = std::max(step.sequences, 1.0), tokens = std::max(step.tokens, 1.0);
  const at::Tensor keep = included(batch);
  if (unit == Unit::kSequence) return (value * keep).sum() / sequences;
  if (unit == Unit::kGroup) return (value * keep).sum() / std::max(step.groups, 1.0);
  if (reduction == "seq_mean_token_mean") {
    const at::Tensor weight = keep / lengths_at_least_one(batch);
    return (value * gather_sequence(weight, batch.sequence)).sum() / sequences;
  }
  const at::Tensor sum = (value * gather_sequence(keep, batch.sequence)).sum();
  if (reduction == "token_mean") return sum / tokens;
  if (reduction == "seq_mean_token_sum") {
    if (!(max_length > 0)) bug("seq_mean_token_sum needs a max_length above 0, not {}", max_length);
    return sum / (sequences * max_length);
  }
  bug("unknown reduction \"{}\"", reduction);
}

PolicyLoss policy_loss(const PolicyAlgorithm& algorithm, const PolicyObjective& objective,
                       const PolicyBatch& batch, const StepTotals& step, double max_length) {
  if (algorithm.max_length > 0) max_length = algorithm.max_length;
  Terms terms = objective(batch);
  std::map<std::string, Metric> metrics = std::move(terms.metrics);
  at::Tensor value = terms.value;
  if (algorithm.correction != "none") {
    const bool per_token = algorithm.correction_level == "token";
    const at::Tensor weight = correction_weight(algorithm, batch);
    value = value * (objective.unit() == Unit::kToken && !per_token ? gather_sequence(weight, batch.sequence)
                                                                    : weight);
    metrics["correction_weight"] = {weight, per_token ? Unit::kToken : Unit::kSequence};
  }

  PolicyLoss out;
  out.loss = reduce(value, objective.unit(), algorithm.reduction, batch, step, max_length);
  out.metrics["policy_loss"] = out.loss.detach();
  if (algorithm.kl_coef > 0 && algorithm.kl_in == "loss") {
    at::Tensor divergence = kl(algorithm.kl_estimator, batch.logp, batch.logp_ref);
    if (algorithm.kl_importance_weight) divergence = divergence * bounded_exp(log_ratio(batch));
    const at::Tensor term =
        algorithm.kl_coef * reduce(divergence, Unit::kToken, algorithm.reduction, batch, step, max_length);
    out.loss = out.loss + term;
    out.metrics["kl_loss"] = term.detach();
  }
  if (algorithm.entropy_coef > 0) {
    if (!batch.entropy.defined()) bug("an entropy bonus without entropy in the policy batch");
    const std::string& how =
        algorithm.entropy_reduction == "as_loss" ? algorithm.reduction : algorithm.entropy_reduction;
    const at::Tensor bonus =
        algorithm.entropy_coef * reduce(batch.entropy, Unit::kToken, how, batch, step, max_length);
    out.loss = out.loss - bonus;
    out.metrics["entropy_bonus"] = bonus.detach();
  }
  if (batch.value.defined() || batch.outcome_score.defined()) {
    const at::Tensor critic = critic_loss(algorithm.critic, batch, step);
    out.critic = algorithm.critic.coef * critic;
    out.loss = out.loss + out.critic;
    out.metrics["critic_loss"] = critic.detach();
    if (batch.value.defined()) metrics["value"] = {batch.value, Unit::kToken};
    if (batch.value_target.defined())
      metrics["value_error"] = {(batch.value_target - batch.value_old).abs(), Unit::kToken};
  }
  out.metrics["loss"] = out.loss.detach();

  const at::Tensor logp = batch.logp.detach();
  if (batch.logp_ref.defined())
    metrics["kl"] = {kl(algorithm.kl_estimator, logp, batch.logp_ref), Unit::kToken};
  if (batch.logp_old.defined()) metrics["approx_kl"] = {kl("k3", batch.logp_old, logp), Unit::kToken};
  if (batch.entropy.defined()) metrics["entropy"] = {batch.entropy, Unit::kToken};
  if (batch.logp_rollout.defined() && batch.logp_old.defined()) {
    const at::Tensor gap = batch.logp_old - batch.logp_rollout;
    metrics["rollout_gap"] = {gap.abs(), Unit::kToken};
    metrics["rollout_ratio"] = {bounded_exp(gap), Unit::kToken};
  }
  for (const auto& [name, metric] : metrics) {
    out.metrics[name] = reduce(metric.value.detach(), metric.unit, "token_mean", batch, step, max_length);
  }
  return out;
}

}  // namespace temper::objective
