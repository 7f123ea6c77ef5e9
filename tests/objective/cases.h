// Golden files of scripts/oracles/objectives.py, and random steps cut into micro-batches.
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <numeric>

#include "base/json.h"
#include "base/random.h"
#include "objective/inspect.h"
#include "objective/policy/policy.h"
#include "tensor/packed.h"
#include "test.h"

namespace temper::objective {

// Largest difference between two numbers or arrays of arrays of numbers, relative where they are above 1.
inline double worst_difference(const Json& a, const Json& b) {
  if (a.is_number() && b.is_number()) {
    const double x = a, y = b;
    return std::abs(x - y) / std::max(1.0, std::abs(y));
  }
  REQUIRE(a.is_array());
  REQUIRE(a.size() == b.size());
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) worst = std::max(worst, worst_difference(a[i], b[i]));
  return worst;
}

inline void check_golden_file(const std::string& file, double tolerance = 1e-9) {
  const Json cases = read_json_file(test_file("objective/golden/" + file));
  REQUIRE(cases.size() > 0);
  for (const Json& item : cases) {
    CAPTURE(item["name"].get<std::string>() + " " + item["set"].dump() + " " + item["input"].dump());
    const Json found = evaluate_objective(item["name"], item["input"], item["set"]);
    CHECK(worst_difference(found["loss"], item["loss"]) < tolerance);
    if (item["grad"].is_object()) {
      for (const auto& [key, grad] : item["grad"].items())
        CHECK(worst_difference(found["grad"][key], grad) < tolerance);
    } else {
      CHECK(worst_difference(found["grad"]["logp"], item["grad"]) < tolerance);
    }
  }
}

inline std::unique_ptr<PolicyAlgorithm> algorithm_of(const std::string& name,
                                                     const Json& overrides = Json::object()) {
  auto algorithm = policy_registry().find(name)->make();
  read_fields(*algorithm, overrides, "test", ".");
  return algorithm;
}

// A step of S sequences in groups of four, of random lengths (some empty, some of one token), with every
// array.
inline PolicyBatch random_step(uint64_t seed, int64_t sequences = 12, double spread = 0.5,
                               at::ScalarType type = at::kDouble) {
  RandomStream random(seed, "random_step");
  std::vector<int64_t> sequence, group;
  std::vector<double> logp, old, ref, rollout, entropy, reward, include, top, score, opening;
  std::vector<int64_t> token;
  for (int64_t s = 0; s < sequences; ++s) {
    const int64_t length = s == 2 ? 0 : s == 5 ? 1 : static_cast<int64_t>(1 + random.below(6));
    for (int64_t t = 0; t < length; ++t) {
      sequence.push_back(s);
      const double base = -std::abs(random.normal()) - 0.05;
      logp.push_back(base + spread * random.normal());
      old.push_back(base + spread * random.normal());
      ref.push_back(base + spread * random.normal());
      rollout.push_back(old.back() + 0.3 * random.normal());
      entropy.push_back(std::abs(random.normal()));
      token.push_back(static_cast<int64_t>(random.below(3)));
      for (int64_t k = 0; k < 3; ++k) top.push_back(-0.5 - static_cast<double>(k) + 0.3 * random.uniform());
      score.push_back(random.normal());
    }
    group.push_back(7 - 3 * (s / 4));
    reward.push_back(random.normal());
    include.push_back(s == 7 ? 0.0 : 1.0);
    opening.push_back(static_cast<double>(random.below(2)));
  }
  PolicyBatch batch;
  batch.sequences = sequences;
  batch.sequence = at::tensor(sequence, at::kLong);
  batch.logp = at::tensor(logp, type);
  batch.logp_old = at::tensor(old, type);
  batch.logp_ref = at::tensor(ref, type);
  batch.logp_rollout = at::tensor(rollout, type);
  batch.entropy = at::tensor(entropy, type);
  batch.token = at::tensor(token, at::kLong);
  batch.top_logp = at::tensor(top, type).reshape({-1, 3});
  batch.top_token = at::arange(3).expand({batch.logp.size(0), 3}).clone();
  batch.token_score = at::tensor(score, type);
  RandomStream critic(seed, "values");
  std::vector<double> value, value_old;
  for (size_t t = 0; t < logp.size(); ++t) {
    value_old.push_back(critic.normal());
    value.push_back(value_old.back() + 0.2 * critic.normal());
  }
  batch.value = at::tensor(value, type);
  std::vector<double> outcome_score;
  std::vector<int64_t> outcome;
  for (size_t t = 0; t < logp.size() * kOutcomeCount; ++t) outcome_score.push_back(critic.normal());
  for (int64_t s = 0; s < sequences; ++s) outcome.push_back(static_cast<int64_t>(critic.below(5)) - 1);
  batch.outcome_score = at::tensor(outcome_score, type).reshape({-1, kOutcomeCount});
  batch.outcome = at::tensor(outcome, at::kLong);
  batch.value_old = at::tensor(value_old, type);
  batch.demonstration = at::tensor(opening, type);
  batch.opening = at::tensor(opening, type);
  batch.reference_reward = at::full({sequences}, 0.2, batch.logp.options());
  batch.reward = at::tensor(reward, type);
  batch.group = at::tensor(group, at::kLong);
  batch.include = at::tensor(include, type);
  return batch;
}

// The algorithm's own advantages of a step made by random_step, whatever its estimator reads.
inline at::Tensor advantage_of(const PolicyAlgorithm& algorithm, const PolicyBatch& step) {
  if (algorithm.needs().value) return at::zeros_like(step.reward);  // run_step asks the critic, per token
  StepRewards rewards{.reward = step.reward, .group = step.group};
  rewards.length = segment_count(step.sequence, step.sequences);
  rewards.greedy = at::full_like(step.reward, 0.1);
  rewards.parts = at::stack({step.reward, step.reward.square()}, 1);
  rewards.part_weights = {1.0, 0.5};
  rewards.ended = step.opening;
  return advantages(algorithm, rewards);
}

// The given sequences of a step, in that order, as a batch of their own. tokens: where its tokens lie in the
// step.
inline PolicyBatch take(const PolicyBatch& step, const std::vector<int64_t>& rows,
                        at::Tensor* tokens = nullptr) {
  std::vector<at::Tensor> places, sequence;
  for (size_t i = 0; i < rows.size(); ++i) {
    places.push_back(step.sequence.eq(rows[i]).nonzero().flatten());
    sequence.push_back(at::full({places.back().size(0)}, static_cast<int64_t>(i), at::kLong));
  }
  const at::Tensor place = at::cat(places), row = at::tensor(rows, at::kLong);
  const auto of = [](const at::Tensor& value, const at::Tensor& where) {
    return value.defined() ? value.index_select(0, where) : at::Tensor();
  };
  PolicyBatch out;
  out.sequences = static_cast<int64_t>(rows.size());
  out.sequence = at::cat(sequence);
  out.logp = of(step.logp, place);
  out.logp_old = of(step.logp_old, place);
  out.logp_ref = of(step.logp_ref, place);
  out.logp_rollout = of(step.logp_rollout, place);
  out.entropy = of(step.entropy, place);
  out.token = of(step.token, place);
  out.top_logp = of(step.top_logp, place);
  out.top_token = of(step.top_token, place);
  out.token_score = of(step.token_score, place);
  out.value = of(step.value, place);
  out.outcome_score = of(step.outcome_score, place);
  out.outcome = of(step.outcome, row);
  out.value_old = of(step.value_old, place);
  out.value_target = of(step.value_target, place);
  out.demonstration = of(step.demonstration, row);
  out.opening = of(step.opening, row);
  out.reference_reward = of(step.reference_reward, row);
  out.token_advantage = of(step.token_advantage, place);
  out.advantage = of(step.advantage, row);
  out.reward = of(step.reward, row);
  out.group = of(step.group, row);
  out.include = of(step.include, row);
  if (tokens != nullptr) *tokens = place;
  return out;
}

struct StepResult {
  double loss = 0;
  at::Tensor gradient;          // [M] of the step's logp
  at::Tensor entropy_gradient;  // [M], 0 where the loss does not read entropy
  std::map<std::string, double> metrics;
};

// The step's loss as the trainer makes it: micro-batches `parts` one after the other, losses and metrics
// added up.
inline StepResult run_step(const PolicyAlgorithm& algorithm, PolicyBatch step,
                           const std::vector<std::vector<int64_t>>& parts, double max_length = 9) {
  if (algorithm.needs().value) {
    const ValueEstimate estimate = critic_advantages(algorithm, step);
    step.token_advantage = estimate.advantage;
    step.value_target = estimate.target;
  } else {
    step.value = step.value_old = at::Tensor();
  }
  if (!algorithm.needs().outcome_score) step.outcome_score = at::Tensor();
  const auto objective = algorithm.objective->make();
  objective->prepare(step);
  const StepTotals denominators = totals(step);
  StepResult out;
  out.gradient = at::zeros_like(step.logp);
  out.entropy_gradient = at::zeros_like(step.logp);
  for (const auto& rows : parts) {
    at::Tensor tokens;
    PolicyBatch batch = take(step, rows, &tokens);
    batch.logp = batch.logp.detach().requires_grad_();
    std::vector<at::Tensor> leaves = {batch.logp};
    if (batch.entropy.defined()) leaves.push_back(batch.entropy = batch.entropy.detach().requires_grad_());
    const PolicyLoss loss = policy_loss(algorithm, *objective, batch, denominators, max_length);
    out.loss += loss.loss.item<double>();
    const auto gradients = torch::autograd::grad({loss.loss}, leaves, {}, {}, false, true);
    if (gradients[0].defined()) out.gradient.index_add_(0, tokens, gradients[0]);
    if (leaves.size() > 1 && gradients[1].defined()) out.entropy_gradient.index_add_(0, tokens, gradients[1]);
    for (const auto& [key, value] : loss.metrics) out.metrics[key] += value.item<double>();
  }
  return out;
}

inline std::vector<int64_t> all_rows(const PolicyBatch& step) {
  std::vector<int64_t> rows(step.sequences);
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

// Cuts the rows, shuffled, into random parts.
inline std::vector<std::vector<int64_t>> random_parts(const PolicyBatch& step, uint64_t seed) {
  RandomStream random(seed, "parts");
  std::vector<std::vector<int64_t>> parts(1);
  for (int64_t row : random.permutation(step.sequences)) {
    if (!parts.back().empty() && random.uniform() < 0.35) parts.emplace_back();
    parts.back().push_back(row);
  }
  return parts;
}

}  // namespace temper::objective
