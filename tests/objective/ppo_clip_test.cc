#include "base/error.h"
#include "cases.h"

namespace temper::objective {
namespace {

// d loss / d logp of one token with the given ratio and advantage.
double clip_gradient(double ratio, double advantage, const Json& overrides = Json::object()) {
  const Json input = {
      {"sequences",
       Json::array({{{"logp", {std::log(ratio)}}, {"logp_old", {0.0}}, {"advantage", advantage}}})}};
  return evaluate_objective("grpo", input, overrides)["grad"]["logp"][0][0];
}

}  // namespace

TEST_CASE("PPO clip: values and gradients of TRL's GRPOTrainer") {
  check_golden_file("ppo_clip.json");
}

TEST_CASE("PPO clip: the truth table of sign and ratio") {
  // Inside the range, and where the clip would make a mistake cheaper, the gradient is that of -r A.
  for (const double a : {2.0, -2.0}) CHECK(clip_gradient(1.1, a) == doctest::Approx(-1.1 * a));
  CHECK(clip_gradient(0.5, 2.0) == doctest::Approx(-0.5 * 2.0));
  CHECK(clip_gradient(1.5, -2.0) == doctest::Approx(1.5 * 2.0));
  CHECK(clip_gradient(1.5, 2.0) == 0);
  CHECK(clip_gradient(0.5, -2.0) == 0);
  for (const double r : {0.5, 1.0, 1.5}) CHECK(clip_gradient(r, 0.0) == 0);
  // Each side has its own bound.
  CHECK(clip_gradient(1.5, 2.0, {{"clip_high", 0.6}}) == doctest::Approx(-3.0));
  CHECK(clip_gradient(0.5, -2.0, {{"clip_low", 0.6}}) == doctest::Approx(1.0));
  // Dual clip and cap act only on A < 0 and high ratios.
  CHECK(clip_gradient(3.5, -2.0, {{"dual_clip", 3.0}}) == 0);
  CHECK(clip_gradient(2.5, -2.0, {{"dual_clip", 3.0}}) == doctest::Approx(5.0));
  CHECK(clip_gradient(2.5, -2.0, {{"ratio_cap", 2.0}}) == 0);
  CHECK(clip_gradient(1.5, -2.0, {{"ratio_cap", 2.0}}) == doctest::Approx(3.0));
}

TEST_CASE("PPO clip: dual clip bounds the loss and leaves the rest") {
  PolicyBatch step = random_step(4, 12, 1.5);
  const auto plain = algorithm_of("grpo"), dual = algorithm_of("grpo", {{"dual_clip", 1.5}});
  step.advantage = advantages(*plain, step.reward, step.group);
  const Terms a = (*plain->objective->make())(step), b = (*dual->objective->make())(step);
  const at::Tensor advantage = step.advantage.index_select(0, step.sequence);
  CHECK(at::equal(b.value, at::where(advantage < 0, at::min(a.value, -1.5 * advantage), a.value)));
  CHECK(b.metrics.at("dual_clip").value.sum().item<double>() > 0);
  CHECK(at::equal(a.metrics.at("clip_low").value, b.metrics.at("clip_low").value));
}

TEST_CASE("PPO clip: on policy it is REINFORCE, ratio 1 and nothing clipped") {
  PolicyBatch step = random_step(5);
  step.logp_old = step.logp;
  const auto algorithm = algorithm_of("dapo");
  step.advantage = advantages(*algorithm, step.reward, step.group);
  const StepResult result = run_step(*algorithm, step, {all_rows(step)});
  const at::Tensor keep = step.include.index_select(0, step.sequence);
  const at::Tensor expected = -step.advantage.index_select(0, step.sequence) * keep / totals(step).tokens;
  CHECK(at::allclose(result.gradient, expected));
  CHECK(result.metrics.at("ratio") == doctest::Approx(1));
  CHECK(result.metrics.at("clip_low") == 0);
  CHECK(result.metrics.at("clip_high") == 0);
  CHECK(result.metrics.at("approx_kl") == 0);
}

TEST_CASE("PPO clip: metrics are what their comments say") {
  PolicyBatch step = random_step(6);
  step.include = at::Tensor();
  const auto algorithm = algorithm_of("grpo", {{"kl_coef", 0.1}});
  step.advantage = advantages(*algorithm, step.reward, step.group);
  const StepResult result = run_step(*algorithm, step, random_parts(step, 1));
  const at::Tensor d = step.logp - step.logp_old, a = step.advantage.index_select(0, step.sequence);
  const auto mean = [](const at::Tensor& x) { return x.to(at::kDouble).mean().item<double>(); };
  CHECK(result.metrics.at("ratio") == doctest::Approx(mean(d.exp())));
  CHECK(result.metrics.at("clip_high") == doctest::Approx(mean((d.exp() > 1.2).logical_and(a > 0))));
  CHECK(result.metrics.at("clip_low") == doctest::Approx(mean((d.exp() < 0.8).logical_and(a < 0))));
  CHECK(result.metrics.at("approx_kl") == doctest::Approx(mean(d.exp() - 1 - d)));
  CHECK(result.metrics.at("rollout_gap") == doctest::Approx(mean((step.logp_old - step.logp_rollout).abs())));
  CHECK(result.metrics.at("entropy") == doctest::Approx(mean(step.entropy)));
  CHECK(result.metrics.at("kl") == doctest::Approx(mean(kl("k3", step.logp, step.logp_ref))));
  CHECK(result.metrics.at("loss") == doctest::Approx(result.loss));
  CHECK(result.metrics.at("policy_loss") + result.metrics.at("kl_loss") == doctest::Approx(result.loss));
}

TEST_CASE("PPO clip: fp32 stays near fp64") {
  PolicyBatch exact = random_step(7), single = random_step(7, 12, 0.5, at::kFloat);
  const auto algorithm = algorithm_of("grpo", {{"kl_coef", 0.04}});
  exact.advantage = advantages(*algorithm, exact.reward, exact.group);
  single.advantage = advantages(*algorithm, single.reward, single.group);
  const StepResult a = run_step(*algorithm, exact, {all_rows(exact)}),
                   b = run_step(*algorithm, single, {all_rows(single)});
  CHECK((b.gradient.scalar_type() == at::kFloat));
  CHECK(a.loss == doctest::Approx(b.loss).epsilon(1e-6));
  CHECK((a.gradient - b.gradient.to(at::kDouble)).abs().max().item<double>() < 1e-6);
}

}  // namespace temper::objective
