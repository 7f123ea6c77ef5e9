// Objectives that read more than log-probs and rewards, and the actor-critic parts.
#include "base/error.h"
#include "cases.h"
#include "objective/credit/critic.h"

namespace temper::objective {

TEST_CASE("luffy, adaptthink, brain, oreal, simko: values and gradients of the papers' formulas") {
  check_golden_file("guided.json");
}

TEST_CASE("LUFFY: a demonstration's behaviour log-prob is never read") {
  PolicyBatch step = random_step(1);
  const auto algorithm = algorithm_of("luffy");
  step.advantage = advantage_of(*algorithm, step);
  const StepResult a = run_step(*algorithm, step, {all_rows(step)});
  const at::Tensor shown = step.demonstration.index_select(0, step.sequence).ne(0);
  step.logp_old = at::where(shown, -std::numeric_limits<double>::infinity(), step.logp_old);
  const StepResult b = run_step(*algorithm, step, {all_rows(step)});
  CHECK(a.loss == b.loss);
  CHECK(at::equal(a.gradient, b.gradient));
}

TEST_CASE("OREAL: each side is over its own tokens, whatever the other holds") {
  PolicyBatch step = random_step(2);
  step.include = at::Tensor();
  step.advantage = at::where(at::arange(12).lt(6), 1.0, -1.0).to(at::kDouble);
  const StepResult r = run_step(*algorithm_of("oreal", {{"kl_coef", 0.0}}), step, random_parts(step, 3));
  const at::Tensor right = step.sequence.lt(6);
  CHECK(r.gradient.masked_select(right).sum().item<double>() == doctest::Approx(-1));
  CHECK(r.gradient.masked_select(right.logical_not()).sum().item<double>() == doctest::Approx(0.5));
}

TEST_CASE("what an algorithm reads is named") {
  CHECK(need_names(algorithm_of("simko")->needs()) ==
        std::vector<std::string>{"logp_old", "entropy", "token", "top_logp", "top_token"});
  CHECK(need_names(algorithm_of("adaptthink")->needs()) ==
        std::vector<std::string>{"logp_old", "reward", "reference_reward", "opening"});
  CHECK(need_names(algorithm_of("remax")->needs()) == std::vector<std::string>{"logp_old", "greedy"});
}

TEST_CASE("GAE: the golden values, and a response ends where the next begins") {
  const at::Tensor reward = at::tensor({0., 0., 1., 0., 0., 1.}, at::kDouble),
                   value = at::tensor({.1, .2, .3, .1, .2, .3}, at::kDouble);
  const at::Tensor sequence = at::tensor({0, 0, 0, 2, 2, 2}, at::kLong);
  const ValueEstimate e = estimate_values("gae", reward, value, {}, sequence, 1.0, 0.95);
  const at::Tensor wanted = at::tensor({.82675, .765, .7, .82675, .765, .7}, at::kDouble);
  CHECK(at::allclose(e.advantage, wanted, 1e-12, 1e-12));
  CHECK(at::allclose(e.target, wanted + value));
  CHECK(at::equal(reward_on_last_token(at::tensor({1., 5., 1.}, at::kDouble), sequence, 3), reward));
}

TEST_CASE("traces: against the definition, and equal on policy") {
  RandomStream random(1, "traces");
  std::vector<double> reward, value, ratio;
  std::vector<int64_t> sequence;
  for (int64_t s = 0; s < 3; ++s) {
    for (int64_t t = 0; t < 5; ++t) {
      reward.push_back(random.normal());
      value.push_back(random.normal());
      ratio.push_back(random.normal());
      sequence.push_back(s);
    }
  }
  const at::Tensor r = at::tensor(reward, at::kDouble), v = at::tensor(value, at::kDouble),
                   d = at::tensor(ratio, at::kDouble);
  const at::Tensor rows = at::tensor(sequence, at::kLong);
  const double gamma = 0.9, lambda = 0.8;
  for (const char* trace : {"gae", "retrace", "rbis"}) {
    CAPTURE(trace);
    const ValueEstimate e = estimate_values(trace, r, v, d, rows, gamma, lambda);
    for (int64_t s = 0; s < 3; ++s) {
      for (int64_t t = 0; t < 5; ++t) {
        double sum = 0, beta = 1;
        for (int64_t k = 0; t + k < 5; ++k) {
          const int64_t at = 5 * s + t + k;
          if (k > 0) {
            const double rho = std::exp(ratio[at]);
            if (std::string(trace) == "gae") beta *= lambda;
            if (std::string(trace) == "retrace") beta *= lambda * std::min(1.0, rho);
            if (std::string(trace) == "rbis") beta = std::min(std::pow(lambda, k), rho * beta);
          }
          const double next = t + k + 1 < 5 ? value[at + 1] : 0.0;
          sum += std::pow(gamma, k) * beta * (reward[at] + gamma * next - value[at]);
        }
        CHECK(e.advantage[5 * s + t].item<double>() == doctest::Approx(sum).epsilon(1e-12));
      }
    }
    const ValueEstimate on = estimate_values(trace, r, v, at::zeros_like(d), rows, gamma, lambda);
    CHECK(at::allclose(on.advantage, estimate_values("gae", r, v, {}, rows, gamma, lambda).advantage));
    CHECK(
        estimate_values(trace, r, v, d * 1000, rows, gamma, lambda).advantage.isfinite().all().item<bool>());
  }
  CHECK(estimate_values("gae", at::zeros({0}), at::zeros({0}), {}, at::zeros({0}, at::kLong), 1, 1)
            .advantage.numel() == 0);
}

TEST_CASE("the critic's loss does not reward a step beyond the clip") {
  const at::Tensor v = at::tensor({0.5, 0.1, 2.0}, at::kDouble).requires_grad_();
  const at::Tensor old = at::zeros({3}, at::kDouble), target = at::tensor({1.0, 0.1, 0.0}, at::kDouble);
  const at::Tensor loss = value_loss(v, old, target, 0.2);
  CHECK(at::allclose(loss, at::tensor({0.32, 0.0, 2.0}, at::kDouble)));
  const at::Tensor gradient = torch::autograd::grad({loss.sum()}, {v})[0];
  CHECK(gradient[0].item<double>() == 0);
  CHECK(gradient[2].item<double>() == doctest::Approx(2.0));
}

}  // namespace temper::objective
