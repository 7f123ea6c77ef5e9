// Reinforcement learning from verifiable rewards: sample groups, score them, turn rewards into advantages,
// take optimizer steps on the policy objective. Which estimator, objective, reduction, KL and filter: the
// "algorithm" section. Groups may also come from a file of scored responses (stored_rollouts.h) or from
// earlier steps (train/groups/replay.h).
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "base/error.h"
#include "base/statistics.h"
#include "eval/diversity.h"
#include "objective/constant_gradient.h"
#include "objective/policy/policy.h"
#include "task/rl/config.h"
#include "task/rl/extra_rewards.h"
#include "task/rl/stored_rollouts.h"
#include "task/rl/token_credit.h"
#include "tensor/packed.h"
#include "train/config.h"
#include "train/reference.h"
#include "train/rollouts.h"
#include "train/run_order.h"
#include "train/session.h"

namespace temper {
namespace {

// What the metrics of several optimizer updates add up to.
struct Totals {
  std::map<std::string, double> sums;
  double updates = 0, skipped = 0, loss = 0, grad_norm = 0, lr = 0;
};

// Rewards are shaped and become advantages; what is left out of the loss is marked. greedy: as
// greedy_rewards(), undefined without need; steps: as process_scores(), read with need.
void shape_rewards(const Session& s, const RlTask& task, const RolloutBatch& rollouts,
                   const at::Tensor& greedy, const objective::ProcessScores& steps, RolloutTensors& all) {
  const objective::PolicyAlgorithm& algorithm = *task.algorithm;
  const auto max_new_tokens = static_cast<double>(task.rollout.max_new_tokens);
  const objective::Needs needs = algorithm.needs();
  at::Tensor reward = all.batch.reward;
  const at::Tensor lengths = objective::totals(all.batch).tokens > 0
                                 ? at::bincount(all.batch.sequence, {}, all.batch.sequences)
                                 : at::zeros({all.batch.sequences}, at::kLong);
  const double buffer = objective::overlong_buffer_tokens(algorithm, max_new_tokens);
  if (buffer > 0) {
    reward =
        reward + objective::overlong_penalty(lengths, max_new_tokens, buffer, algorithm.overlong_penalty);
  }
  if (algorithm.mask_truncated || algorithm.keep_one_each)
    all.batch.include = include_mask(algorithm, rollouts.groups);
  const auto take_per_token = [&](const at::Tensor& advantage) {
    all.batch.token_advantage = advantage;
    all.batch.advantage = segment_mean(advantage, all.batch.sequence, all.batch.sequences);
  };
  if (needs.value) {
    all.batch.reward = reward;
    if (needs.process)
      all.batch.token_reward =
          objective::process_token_rewards(algorithm.process, all.batch, steps).to(at::kFloat);
    const objective::ValueEstimate estimate = objective::critic_advantages(algorithm, all.batch);
    take_per_token(estimate.advantage);
    all.batch.value_target = estimate.target;
  } else if (needs.process) {
    all.batch.reward = reward;
    take_per_token(objective::process_advantages(algorithm, all.batch, steps));
  } else {
    if (algorithm.kl_coef > 0 && algorithm.kl_in == "reward")
      reward = reward + objective::kl_reward(algorithm, all.batch);
    if (algorithm.progress_bonus > 0) {
      reward = reward + objective::progress_bonus(all.batch.reward, all.batch.group, all.batch.opening,
                                                  algorithm.progress_bonus);
    }
    all.batch.reward = reward;
    objective::StepRewards seen{reward, all.batch.group, lengths, greedy, {}, {}, {}};
    if (needs.ended) seen.ended = all.batch.opening;
    if (needs.reward_parts) {
      seen.parts = reward_parts(rollouts.groups);
      seen.part_weights = s.rewards->weights();
    }
    all.batch.advantage = objective::advantages(algorithm, seen);
  }
  if (needs.turn) {
    all.batch.token_advantage =
        objective::turn_advantages(algorithm.turn_advantage, algorithm.advantage_eps, all.batch.advantage,
                                   all.batch.group, all.batch.sequence, turns_of(rollouts.groups));
  }
}

// What each log-prob's gradient will be when the policy is still the one that sampled, where the objective
// lets that be known before the log-probs are; else undefined.
at::Tensor first_update_gradient(const objective::PolicyAlgorithm& algorithm,
                                 const objective::PolicyObjective& objective, objective::PolicyBatch batch,
                                 const objective::StepTotals& totals, double max_length) {
  const objective::Needs needs = algorithm.needs();
  if (!at::GradMode::is_enabled() || needs.top_k > 0 || needs.entropy || needs.entropy_gradient) return {};
  const int64_t n = batch.token.size(0);
  batch.entropy = at::zeros({n});
  return objective::constant_gradient(n, [&](const at::Tensor& logp) {
    batch.logp = logp;
    batch.logp_old = logp.detach();
    return objective::policy_loss(algorithm, objective, batch, totals, max_length).loss;
  });
}

// Means over the fresh groups of how different their sampled completions are; of none, nothing.
NamedValues diversity_metrics(const std::vector<RolloutGroup>& groups) {
  std::vector<double> distinct, vendi;
  for (const RolloutGroup& g : groups) {
    std::vector<std::vector<int64_t>> texts;
    for (const Rollout& r : g.rollouts)
      if (!r.demonstration) texts.push_back(own_tokens(r.ids, r.turns));
    if (!g.fresh() || texts.empty()) continue;
    distinct.push_back(distinct_share(texts));
    vendi.push_back(vendi_score(texts));
  }
  if (distinct.empty()) return {};
  return {{"distinct", mean(distinct)}, {"vendi", mean(vendi)}};
}

}  // namespace

void RlTask::train(Session& s) const {
  const RunConfig& c = s.config;
  const objective::PolicyAlgorithm& algorithm = *this->algorithm;
  const objective::Needs needs = algorithm.needs();
  const auto objective = algorithm.objective->make();
  const bool mixture = s.model->config().experts.count > 0,
             keeps_routes = mixture && rollout.routing != "own";
  if (!mixture && replays_routes())
    user_error("rollout.routing: {} is a dense model and has no routers; leave it out", c.model.path);

  for (const std::string& line : objective::departures(algorithm))
    s.progress->message("departs from the paper: " + line);

  const CreditSources sources = find_credit_sources(s, algorithm);
  const TrainPrompts prompts(s);
  const std::vector<RolloutGroup> stored =
      offline.on() ? read_stored_rollouts(s, *this) : std::vector<RolloutGroup>();

  const int64_t stored_groups = offline.on() ? offline.stored_prompts(rollout.prompts_per_step) : 0;
  std::unique_ptr<RunOrder> order;  // of what is sampled; null: nothing is
  if (const int64_t fresh = rollout.prompts_per_step - stored_groups; fresh > 0)
    order = std::make_unique<RunOrder>(s, every_index(s.train_records.size()), fresh);

  std::unique_ptr<Hints> hints;
  if (hint.on()) hints = std::make_unique<Hints>(s, hint);

  const int64_t parts = rollout.prompts_per_step / c.train.batch_size;  // optimizer steps a pass
  const double max_length =
      algorithm.max_length > 0 ? algorithm.max_length : static_cast<double>(rollout.max_new_tokens);
  // Groups that an earlier policy, another model or nobody's sampling gave.
  const bool off_policy = offline.on() || replay.on() || algorithm.filter_zero_variance ||
                          needs.demonstration || needs.opening || rollout.step_tokens > 0;
  // With one update the policy that is trained is the one that sampled, and its log-probs come with the
  // update's own pass.
  const bool old_pass =
      updates_per_rollout * parts > 1 || needs.step_logp || algorithm.kl_in == "reward" || off_policy;

  bool warned = false;

  s.evaluate_first();
  while (!s.done()) {
    s.begin_step();

    // Sample and score.
    RolloutBatch rollouts = collect_rollouts(
        s, prompts,
        {.order = order.get(),
         .groups = rollout.prompts_per_step,
         .store_old_logp = old_pass && (off_policy || !needs.critic()),
         .only_differing = algorithm.filter_zero_variance,
         .max_rounds = algorithm.filter_max_rounds,
         .rounds_field = "algorithm.filter_max_rounds",
         .step_tokens = rollout.step_tokens,
         .make = {.demonstrations = rollout.demonstrations,
                  .openings = rollout.openings,
                  .prefix = rollout.prefix,
                  .routes = keeps_routes},
         .hints = hints.get(),
         .stored = &stored,
         .stored_groups = stored_groups,
         .replayed = replay.on() ? draw_replay(replay, s.state, static_cast<uint64_t>(c.seed),
                                               rollout.prompts_per_step)
                                 : std::vector<RolloutGroup>()});
    if (needs.reference_reward) reference_rewards(s, rollout, rollouts);
    const at::Tensor greedy = needs.greedy_reward ? greedy_rewards(s, rollouts.groups) : at::Tensor();
    rollouts.commit(s.state);
    if (order != nullptr) order->observe(rollouts.observed);
    if (replay.on()) add_to_replay(replay, s.state, rollouts.groups);
    RolloutTensors all = rollout_tensors(rollouts.groups);
    if (needs.outcome_score) all.batch.outcome = outcomes_of(s, sources.outcomes, rollouts.groups);
    if (needs.value || needs.token_score) {
      const TokenNumbers now = logp_and_values(s, all.sequences);
      all.batch.logp = now.logp;
      all.batch.value_old = now.value;
      if (!all.batch.logp_old.defined()) all.batch.logp_old = now.logp;
    }
    if (needs.logp_ref) all.batch.logp_ref = reference_logp(s, all.sequences);

    const objective::ProcessScores steps =
        needs.process ? process_scores(s, algorithm.process, sources.steps, rollouts.groups)
                      : objective::ProcessScores();
    shape_rewards(s, *this, rollouts, greedy, steps, all);
    const bool warming_up = needs.critic() && s.state.step < algorithm.critic.warmup;  // the policy stays

    // Optimizer steps over the batch, part by part, pass by pass.
    Totals sum;
    for (int64_t pass = 0; pass < updates_per_rollout; ++pass) {
      for (int64_t part = 0; part < parts; ++part) {
        const int64_t first = all.groups[part * c.train.batch_size],
                      last = all.groups[(part + 1) * c.train.batch_size];
        objective::PolicyBatch step = slice(all, first, last);
        const objective::StepTotals totals = objective::totals(step);
        const std::vector<Sequence> sequences(all.sequences.begin() + first, all.sequences.begin() + last);
        if (old_pass) {
          const bool moved = off_policy || pass + part > 0;  // the policy is not the one that sampled
          step.logp = needs.step_logp && moved ? logp_of(s, *s.model, sequences) : step.logp_old;
        }
        objective->prepare(step);
        if (const std::string warning = objective->warning(); !warned && !warning.empty()) {
          s.progress->message(fmt::format("step {}: {}", s.state.step + 1, warning), LogLevel::kWarning);
          warned = true;
        }

        const auto batches = s.pack(sequences, c.train.share_prompts);
        const UpdateOutcome done = s.update(batches, [&](const MicroBatch& micro) {
          objective::PolicyBatch batch =
              slice(all, first + micro.sequences.front(), first + micro.sequences.back() + 1);
          LogpOptions options;
          options.temperature = rollout.temperature;
          options.entropy = true;
          options.entropy_gradient = needs.entropy_gradient;
          options.top_k = needs.top_k;
          batch.token = micro.targets.token.cpu();
          if (!old_pass && !needs.critic() && s.device().is_cpu())
            options.expected = first_update_gradient(algorithm, *objective, batch, totals, max_length);
          const at::Tensor hidden = s.model->hidden(micro.tokens, s.forward_options(true, micro.routes));
          const LogpResult result = on_host(s.logp(hidden, micro.targets, options));
          if (needs.critic()) {
            const bool reaches_trunk = algorithm.critic.trunk == "shared" && !warming_up;
            const at::Tensor scores =
                model_scores(*s.model, reaches_trunk ? hidden : hidden.detach(), micro.targets.source).cpu();
            if (needs.outcome_score) {
              batch.outcome_score = scores;
            } else {
              batch.value = scores.select(1, 0);
              batch.token_score = batch.value.detach();
            }
          }
          batch.logp = result.logp;
          batch.entropy = result.entropy;
          batch.top_logp = result.top_logp;
          batch.top_token = result.top_token;
          if (!batch.logp_old.defined()) batch.logp_old = result.logp.detach();
          const objective::PolicyLoss loss =
              objective::policy_loss(algorithm, *objective, batch, totals, max_length);
          LossShare share{warming_up ? loss.critic : loss.loss};
          for (const auto& [name, value] : loss.metrics) share.metrics[name] = value.item<double>();
          return share;
        });
        for (const auto& [name, value] : done.metrics) sum.sums[name] += value;
        sum.updates += 1;
        sum.skipped += done.skipped ? 1 : 0;
        sum.loss += done.loss;
        sum.grad_norm += done.grad_norm;
        sum.lr = done.lr;
      }
    }

    MetricsRow row;
    row.values = rollout_metrics(s, rollouts);
    if (order != nullptr) {
      for (const auto& value : order->metrics()) row.values.push_back(value);
    }
    if (rollout.diversity) {
      for (const auto& value : diversity_metrics(rollouts.groups)) row.values.push_back(value);
    }
    if (replay.on()) {
      for (const auto& value : replay_metrics(replay, s.state, rollouts.groups)) row.values.push_back(value);
    }
    row.values.emplace_back("loss", sum.loss / sum.updates);
    row.values.emplace_back("grad_norm", sum.grad_norm / sum.updates);
    row.values.emplace_back("lr", sum.lr);
    row.values.emplace_back("skipped", sum.skipped);
    if (needs.process) {
      for (const auto& value : process_metrics(algorithm.process, steps)) row.values.push_back(value);
    }
    row.values.emplace_back("advantage_abs", all.batch.advantage.abs().mean().item<double>());
    for (const auto& [name, value] : sum.sums) {
      if (name != "loss") row.values.emplace_back(name, value / sum.updates);
    }
    row.time = {{"rollout_s", rollouts.seconds},
                {"scoring_s", rollouts.scoring_seconds},
                {"train_s", s.seconds_in_step() - rollouts.seconds}};
    s.log->write_samples(s.state.step + 1, "train", rollout_samples(s, rollouts, all.batch.advantage));
    std::vector<std::string> shown = {"reward", "groups_kept", "kl", "entropy", "grad_norm", "truncated"};
    if (row.find("null_rewards").value_or(0) > 0) shown.insert(shown.begin() + 1, "null_rewards");
    s.end_step(std::move(row), shown, rollouts.generated_tokens);
  }
}

}  // namespace temper
