#include "base/error.h"
#include "objective/credit/read.h"
#include "objective/inspect_parts.h"
#include "objective/policy/policy.h"
#include "tensor/packed.h"

namespace temper::objective {
namespace {

const std::vector<std::string> kKnown = {
    "logp",          "logp_old",         "logp_ref",  "logp_rollout", "entropy",
    "token",         "top_logp",         "top_token", "token_score",  "value",
    "value_old",     "reward",           "group",     "greedy",       "rewards",
    "demonstration", "reference_reward", "opening",   "advantage",    "include",
    "outcome_score", "outcome",          "steps",     "easy",         "turns",
    "ended"};

std::unique_ptr<PolicyAlgorithm> make_policy(const std::string& name, const Json& overrides) {
  auto algorithm = policy_registry().find(name)->make();
  read_fields(*algorithm, overrides, "objective " + name, ".");
  return algorithm;
}

std::vector<double> input_weights(const Json& input, int64_t count) {
  if (!input.contains("reward_weights")) return std::vector<double>(count, 1.0);
  const Json& weights = input["reward_weights"];
  if (!weights.is_array() || static_cast<int64_t>(weights.size()) != count) {
    user_error("reward_weights: expected an array of {} numbers, one for each of \"rewards\"", count);
  }
  std::vector<double> out;
  for (size_t f = 0; f < weights.size(); ++f)
    out.push_back(finite_number(weights[f], fmt::format("reward_weights.{}", f)));
  return out;
}

PolicyBatch read_batch(const Json& input, const Columns& columns, const PolicyAlgorithm& algorithm) {
  const Needs needs = algorithm.needs();
  // What only an advantage estimator reads may stay away when the advantage is given.
  for (const std::string& key : need_names(needs)) {
    const bool from_value = key == "token_score" && columns.has("value");
    if (key != "greedy" && key != "rewards" && key != "ended" && !from_value)
      columns.demand(key, "objective " + algorithm.name);
  }
  PolicyBatch batch;
  batch.sequences = static_cast<int64_t>(columns.size());
  batch.sequence = columns.token_sequence();
  batch.logp = columns.tokens("logp").requires_grad_();
  const auto tokens = [&](const char* key) { return columns.has(key) ? columns.tokens(key) : at::Tensor(); };
  const auto numbers = [&](const char* key) {
    return columns.has(key) ? columns.numbers(key) : at::Tensor();
  };
  batch.logp_old = tokens("logp_old");
  batch.logp_ref = tokens("logp_ref");
  batch.logp_rollout = tokens("logp_rollout");
  batch.entropy = tokens("entropy");
  if (needs.entropy_gradient) batch.entropy.requires_grad_();
  batch.token_score = tokens("token_score");
  if (needs.critic() && columns.has("value")) {
    batch.value = columns.tokens("value").requires_grad_();
    batch.value_old = columns.has("value_old") ? columns.tokens("value_old") : batch.value.detach();
    if (!needs.value) batch.token_score = batch.value.detach();
  }
  if (needs.outcome_score) {
    batch.outcome_score = columns.token_table("outcome_score").requires_grad_();
    if (batch.outcome_score.size(1) != kOutcomeCount)
      user_error("outcome_score: expected {} numbers a token, found {}", kOutcomeCount,
                 batch.outcome_score.size(1));
    batch.outcome = at::nan_to_num(columns.numbers("outcome", /*null_allowed=*/true), -1.0).to(at::kLong);
    if (batch.outcome.lt(-1).logical_or(batch.outcome.ge(kOutcomeCount)).any().item<bool>())
      user_error("outcome: expected 0 to {} for the worst to the best, or null", kOutcomeCount - 1);
  }
  if (columns.has("token")) batch.token = columns.tokens("token").to(at::kLong);
  if (columns.has("top_logp")) batch.top_logp = columns.token_table("top_logp").requires_grad_();
  if (columns.has("top_token")) batch.top_token = columns.token_table("top_token").to(at::kLong);
  if (columns.has("reward")) batch.reward = columns.numbers("reward", /*null_allowed=*/true);
  if (columns.has("group")) batch.group = columns.labels("group");
  batch.demonstration = numbers("demonstration");
  batch.reference_reward = numbers("reference_reward");
  batch.opening = numbers("opening");
  if (columns.has("include")) batch.include = columns.numbers("include").ne(0);
  if (columns.has("advantage") && columns.is_array("advantage")) {
    batch.token_advantage = columns.tokens("advantage");
  } else if (columns.has("advantage")) {
    batch.advantage = columns.numbers("advantage");
  } else if (needs.value) {
    columns.demand("reward", "the advantage estimator " + algorithm.advantage);
    PolicyBatch step = batch;
    step.logp = batch.logp.detach();
    if (needs.process)
      step.token_reward = process_token_rewards(algorithm.process, batch, read_process(input, batch.sequence))
                              .to(at::kDouble);
    const ValueEstimate estimate = critic_advantages(algorithm, step);
    batch.token_advantage = estimate.advantage;
    batch.value_target = estimate.target;
  } else {
    const std::string estimator =
        fmt::format("the advantage estimator {} (give these or \"advantage\")", algorithm.advantage);
    columns.demand("reward", estimator);
    columns.demand("group", estimator);
    if (algorithm.kl_coef > 0 && algorithm.kl_in == "reward")
      batch.reward = batch.reward + kl_reward(algorithm, batch);
    StepRewards step{.reward = batch.reward, .group = batch.group};
    step.length = segment_count(batch.sequence, batch.sequences);
    if (needs.greedy_reward) {
      columns.demand("greedy", estimator);
      step.greedy = columns.numbers("greedy");
    }
    if (needs.reward_parts) {
      columns.demand("rewards", estimator);
      step.parts = columns.table("rewards");
      step.part_weights = input_weights(input, step.parts.size(1));
    }
    if (needs.ended) {
      columns.demand("ended", estimator);
      step.ended = columns.numbers("ended");
      if (algorithm.progress_bonus > 0)
        step.reward =
            step.reward + progress_bonus(step.reward, step.group, step.ended, algorithm.progress_bonus);
    }
    if (needs.process)
      batch.token_advantage = process_advantages(algorithm, batch, read_process(input, batch.sequence));
    else
      batch.advantage = advantages(algorithm, step);
  }
  if (needs.turn) {
    if (!batch.advantage.defined()) user_error("turns: \"advantage\" must be one number a sequence");
    columns.demand("group", "turn_advantage");
    batch.token_advantage =
        turn_advantages(algorithm.turn_advantage, algorithm.advantage_eps, batch.advantage, batch.group,
                        batch.sequence, read_turns(input, batch.sequence));
  }
  return batch;
}

}  // namespace

Json evaluate_policy(const std::string& name, const Json& input, const Json& overrides) {
  const auto algorithm = make_policy(name, overrides);
  const Columns columns = sequence_columns(input, {"max_length", "reward_weights"}, kKnown);
  const PolicyBatch batch = read_batch(input, columns, *algorithm);
  double max_length = algorithm->max_length;
  if (input.contains("max_length") && max_length == 0)
    max_length = finite_number(input["max_length"], "max_length");
  if (algorithm->reduction == "seq_mean_token_sum" && !(max_length > 0)) {
    user_error(
        "objective {}: seq_mean_token_sum divides by max_length: give it, above 0, in the input or by --set",
        name);
  }
  const auto objective = algorithm->objective->make();
  PolicyBatch detached = batch;
  detached.logp = batch.logp.detach();
  if (batch.top_logp.defined()) detached.top_logp = batch.top_logp.detach();
  if (batch.entropy.defined()) detached.entropy = batch.entropy.detach();
  if (batch.outcome_score.defined()) detached.outcome_score = batch.outcome_score.detach();
  objective->prepare(detached);
  if (algorithm->needs().value && !batch.value_target.defined()) {
    user_error("objective {}: an advantage is given, so the critic has no target; give \"reward\" instead",
               name);
  }
  const PolicyLoss loss = policy_loss(*algorithm, *objective, batch, totals(detached), max_length);
  Json out = inspection(columns, loss.loss, batch.logp, loss.metrics);
  if (batch.value.defined()) out["grad"]["value"] = columns.ragged(gradient_of(loss.loss, batch.value));
  if (algorithm->needs().entropy_gradient)
    out["grad"]["entropy"] = columns.ragged(gradient_of(loss.loss, batch.entropy));
  if (batch.outcome_score.defined())
    out["grad"]["outcome_score"] = columns.ragged(gradient_of(loss.loss, batch.outcome_score));
  if (algorithm->needs().top_k > 0)
    out["grad"]["top_logp"] = columns.ragged(gradient_of(loss.loss, batch.top_logp));
  return out;
}

std::vector<std::string> policy_inputs(const std::string& name, const Json& overrides) {
  const auto algorithm = make_policy(name, overrides);
  const Needs needs = algorithm->needs();
  std::vector<std::string> out = {"logp"};
  for (const std::string& key : need_names(needs)) {
    if (key != "greedy" && key != "rewards" && key != "ended") out.push_back(key);
  }
  if (needs.value) {
    out.push_back("reward");
    return out;
  }
  std::string estimator = "advantage, or reward and group";
  if (needs.greedy_reward) estimator += " and greedy";
  if (needs.ended) estimator += " and ended (1: was told to end its thinking)";
  if (needs.reward_parts) estimator += " and rewards (an array, with reward_weights beside sequences)";
  out.push_back(estimator);
  return out;
}

}  // namespace temper::objective
