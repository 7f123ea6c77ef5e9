// What holds for every policy objective: split and order invariance, degenerate steps, far values,
// denominators.
#include "objective/policy/policy.h"

#include "base/error.h"
#include "cases.h"
#include "objective/notes.h"

namespace temper::objective {
namespace {

void check_same(const StepResult& a, const StepResult& b) {
  CHECK(a.loss == doctest::Approx(b.loss).epsilon(1e-10));
  CHECK((a.gradient - b.gradient).abs().max().item<double>() < 1e-10);
  CHECK((a.entropy_gradient - b.entropy_gradient).abs().max().item<double>() < 1e-10);
  REQUIRE(a.metrics.size() == b.metrics.size());
  for (const auto& [key, value] : a.metrics) {
    CAPTURE(key);
    CHECK(value == doctest::Approx(b.metrics.at(key)).epsilon(1e-10));
  }
}

// Axes that every objective is tried with.
std::vector<Json> variants() {
  return {
      Json::object(),
      parse_json(R"({"reduction": "seq_mean_token_sum", "kl_coef": 0.1, "kl_estimator": "k1"})", "t"),
      parse_json(R"({"reduction": "seq_mean_token_mean", "kl_coef": 0.1, "kl_importance_weight": true})",
                 "t"),
      parse_json(
          R"({"reduction": "token_mean", "kl_coef": 0.1, "kl_estimator": "k2", "correction": "truncate",
                     "correction_level": "sequence", "correction_high": 1.1})",
          "t"),
      parse_json(R"({"reduction": "seq_mean_token_mean", "entropy_coef": 0.3})", "t"),
      parse_json(R"({"entropy_coef": 0.3, "entropy_reduction": "token_mean"})", "t"),
  };
}

}  // namespace

TEST_CASE("every policy objective: any split and any order give the same loss, gradient and metrics") {
  for (const std::string& name : policy_registry().names()) {
    for (const Json& overrides : variants()) {
      const auto algorithm = algorithm_of(name, overrides);
      for (uint64_t seed = 0; seed < 5; ++seed) {
        CAPTURE(name + " " + overrides.dump() + " seed " + std::to_string(seed));
        PolicyBatch step = random_step(seed);
        step.advantage = advantage_of(*algorithm, step);
        const StepResult whole = run_step(*algorithm, step, {all_rows(step)});
        CHECK(std::isfinite(whole.loss));
        CHECK(whole.gradient.abs().max().item<double>() > 0);
        check_same(run_step(*algorithm, step, random_parts(step, seed)), whole);

        const auto order = RandomStream(seed, "order").permutation(step.sequences);
        at::Tensor tokens;
        const PolicyBatch shuffled = take(step, order, &tokens);
        StepResult other = run_step(*algorithm, shuffled, {all_rows(shuffled)});
        other.gradient = at::zeros_like(whole.gradient).index_add(0, tokens, other.gradient);
        other.entropy_gradient = at::zeros_like(whole.gradient).index_add(0, tokens, other.entropy_gradient);
        check_same(other, whole);
      }
    }
  }
}

TEST_CASE("every policy objective: a sequence that is left out changes nothing") {
  for (const std::string& name : policy_registry().names()) {
    CAPTURE(name);
    const auto algorithm = algorithm_of(name, {{"kl_coef", 0.1}});
    PolicyBatch step = random_step(1);
    step.include = at::ones({step.sequences});
    step.include[4] = step.include[5] = step.include[6] = step.include[7] = 0;  // one whole group
    step.advantage = advantage_of(*algorithm, step);
    const std::vector<int64_t> rest = {0, 1, 2, 3, 8, 9, 10, 11};
    at::Tensor tokens;
    const PolicyBatch kept = take(step, rest, &tokens);
    const StepResult whole = run_step(*algorithm, step, {all_rows(step)});
    StepResult part = run_step(*algorithm, kept, {all_rows(kept)});
    part.gradient = at::zeros_like(whole.gradient).index_add(0, tokens, part.gradient);
    part.entropy_gradient = at::zeros_like(whole.gradient).index_add(0, tokens, part.entropy_gradient);
    check_same(whole, part);
  }
}

TEST_CASE("every policy objective: degenerate steps are finite") {
  for (const std::string& name : policy_registry().names()) {
    CAPTURE(name);
    const auto algorithm = algorithm_of(name, {{"kl_coef", 0.1}});
    const auto finite = [&](PolicyBatch step) {
      step.advantage = advantage_of(*algorithm, step);
      CHECK(step.advantage.isfinite().all().item<bool>());
      const StepResult result = run_step(*algorithm, step, {all_rows(step)});
      CHECK(std::isfinite(result.loss));
      CHECK(result.gradient.isfinite().all().item<bool>());
      for (const auto& [key, value] : result.metrics) {
        CAPTURE(key);
        CHECK(std::isfinite(value));
      }
      return result;
    };
    for (const auto type : {at::kFloat, at::kDouble}) {
      PolicyBatch step = random_step(3, 12, 0.5, type);
      step.reward.fill_(0.1);
      finite(step);
      step = random_step(3, 12, 0.5, type);
      step.group = at::arange(12);  // groups of one
      finite(step);
      step = random_step(3, 12, 0.5, type);
      step.reward.index_put_({at::tensor({0, 1, 2, 5, 6})}, std::nan(""));  // one left over in its group
      finite(step);
      step.reward.fill_(std::nan(""));
      finite(step);
      step = random_step(3, 12, 0.5, type);
      step.include.zero_();
      const StepResult nothing = finite(step);
      CHECK(nothing.loss == 0);
      CHECK(nothing.gradient.abs().sum().item<double>() == 0);
      for (const double far : {100.0, -100.0}) {
        step = random_step(3, 12, 0.5, type);
        step.logp_old = step.logp + far;
        finite(step);
        step.logp_ref = step.logp - far;
        finite(step);
      }
      step = take(random_step(3, 12, 0.5, type), {2});  // one empty response
      finite(step);
    }
  }
}

TEST_CASE("entropy bonus: TRL's over all tokens, and verl's, which reduces it as the loss") {
  check_golden_file("entropy.json");
}

TEST_CASE("an entropy bonus is the loss less entropy_coef times the mean entropy, as the loss reduces") {
  PolicyBatch step = random_step(4);
  step.advantage = at::linspace(-1, 1, 12, at::kDouble);
  const StepTotals all = totals(step);
  const at::Tensor keep = step.include.index_select(0, step.sequence);
  const at::Tensor length = segment_count(step.sequence, 12).index_select(0, step.sequence).to(at::kDouble);
  const auto check = [&](const std::string& name, const Json& set, const at::Tensor& weight) {
    CAPTURE(set.dump());
    Json with = set;
    with["entropy_coef"] = 0.25;
    const StepResult plain = run_step(*algorithm_of(name, set), step, random_parts(step, 4)),
                     bonus = run_step(*algorithm_of(name, with), step, random_parts(step, 4));
    CHECK(bonus.loss == doctest::Approx(plain.loss - 0.25 * (weight * step.entropy).sum().item<double>()));
    CHECK(bonus.metrics.at("entropy_bonus") == doctest::Approx(plain.loss - bonus.loss));
    CHECK(bonus.metrics.at("policy_loss") == doctest::Approx(plain.metrics.at("policy_loss")));
    CHECK(at::allclose(bonus.entropy_gradient, -0.25 * weight));
    CHECK(at::equal(bonus.gradient, plain.gradient));
    CHECK(plain.entropy_gradient.abs().sum().item<double>() == 0);
  };
  check("grpo", Json::object(), keep / length / all.sequences);
  check("grpo", {{"reduction", "token_mean"}}, keep / all.tokens);
  check("grpo", {{"reduction", "seq_mean_token_sum"}}, keep / (9 * all.sequences));
  check("gspo", {{"entropy_reduction", "token_mean"}}, keep / all.tokens);
  check("grpo", {{"reduction", "seq_mean_token_sum"}, {"entropy_reduction", "token_mean"}},
        keep / all.tokens);
}

TEST_CASE("totals count what is included") {
  PolicyBatch step = random_step(1);
  const StepTotals all = totals(step);
  const double skipped = step.sequence.eq(7).sum().item<double>();
  CHECK(all.sequences == 11);
  CHECK(all.groups == 3);
  CHECK(all.tokens == step.logp.size(0) - skipped);
  step.include = at::zeros({12});
  step.include[0] = 1;
  CHECK(totals(step).groups == 1);
  CHECK(totals(step).tokens == step.sequence.eq(0).sum().item<double>());
}

TEST_CASE("advantages") {
  const at::Tensor group = at::tensor({5, 5, -1, -1}, at::kLong);
  const at::Tensor reward = at::tensor({1.0, 0.0, 0.25, 0.75}, at::kDouble);
  const auto found = [&](const char* estimator, const at::Tensor& r, const at::Tensor& g) {
    const at::Tensor a = advantages(*algorithm_of("grpo", {{"advantage", estimator}}), r, g);
    return std::vector<double>(a.const_data_ptr<double>(), a.const_data_ptr<double>() + a.numel());
  };
  const auto near = [](const std::vector<double>& a, const std::vector<double>& b) {
    REQUIRE(a.size() == b.size());
    for (size_t i = 0; i < a.size(); ++i) CHECK(a[i] == doctest::Approx(b[i]).epsilon(1e-8));
  };
  near(found("group_zscore", reward, group), {.707006795, -.707006795, -.706906838, .706906838});
  near(found("group_center", reward, group), {.5, -.5, -.25, .25});
  near(found("rloo", reward, group), {1, -1, -.5, .5});
  const double s = std::sqrt((.25 + .25 + .0625 + .0625) / 3) + 1e-4;
  near(found("batch_zscore", reward, group), {.5 / s, -.5 / s, -.25 / s, .25 / s});

  // A null reward is not there: the other two of its group decide.
  const at::Tensor four = at::tensor({1.0, std::nan(""), 0.0, 7.0}, at::kDouble);
  const at::Tensor groups = at::tensor({0, 0, 0, 1}, at::kLong);
  near(found("group_zscore", four, groups), {.707006795, 0, -.707006795, 0});
  near(found("rloo", four, groups), {1, 0, -1, 0});
  // Equal rewards whose mean rounds: exactly 0, whatever eps is.
  const at::Tensor equal = at::full({3}, 0.1, at::kDouble);
  CHECK(advantages(*algorithm_of("grpo", {{"advantage_eps", 0}}), equal, at::zeros({3}, at::kLong))
            .abs()
            .sum()
            .item<double>() == 0);
  CHECK((advantages(*algorithm_of("grpo"), equal.to(at::kFloat), at::zeros({3}, at::kLong)).scalar_type() ==
         at::kFloat));
}

TEST_CASE("group filter, overlong penalty, KL in the reward") {
  const at::Tensor reward =
      at::tensor({1.0, 1.0, 0.0, 1.0, std::nan(""), 2.0, std::nan(""), std::nan(""), 3.0}, at::kDouble);
  const at::Tensor group = at::tensor({0, 0, 4, 4, 4, 9, 9, 7, 8}, at::kLong);
  const at::Tensor keep = keep_groups(reward, group);
  CHECK(at::equal(keep, at::tensor({0, 0, 1, 1, 1, 0, 0, 0, 0}, at::kLong).to(at::kBool)));

  const at::Tensor lengths = at::tensor({1, 80, 81, 90, 100, 130}, at::kLong);
  const at::Tensor penalty = overlong_penalty(lengths, 100, 20, 1.0);
  CHECK(at::allclose(penalty, at::tensor({0., 0., -.05, -.5, -1., -1.}, at::kFloat)));
  CHECK(overlong_penalty(lengths, 100, 20, 2.0)[3].item<float>() == doctest::Approx(-1));
  CHECK(overlong_penalty(lengths, 100, 0, 1.0).abs().sum().item<float>() == 0);
  CHECK(overlong_buffer_tokens(*algorithm_of("dapo"), 20480) == 4096);
  CHECK(overlong_buffer_tokens(*algorithm_of("dapo", {{"overlong_buffer", 100}}), 64) == 64);

  const PolicyBatch step = random_step(1);
  const at::Tensor k1 = kl_reward(*algorithm_of("grpo", {{"kl_coef", 0.5}}), step);
  CHECK(k1[2].item<double>() == 0);
  double expected = 0;
  for (int64_t m = 0; m < step.logp.size(0); ++m) {
    if (step.sequence[m].item<int64_t>() == 3)
      expected -= 0.5 * (step.logp_old[m] - step.logp_ref[m]).item<double>();
  }
  CHECK(k1[3].item<double>() == doctest::Approx(expected));
}

TEST_CASE("KL estimators") {
  const at::Tensor logp = at::tensor({-1.0, -0.2, -3.0}, at::kDouble).requires_grad_();
  const at::Tensor ref = at::tensor({-0.7, -0.9, -3.0}, at::kDouble);
  const at::Tensor d = (logp - ref).detach();
  const auto gradient = [&](const at::Tensor& value) {
    return torch::autograd::grad({value.sum()}, {logp})[0];
  };
  CHECK(at::allclose(kl("k1", logp, ref), d));
  CHECK(at::allclose(kl("k2", logp, ref), 0.5 * d * d));
  CHECK(at::allclose(kl("k3", logp, ref), (-d).exp() + d - 1));
  CHECK(at::allclose(kl("k3+", logp, ref), (-d).exp() + d - 1));
  CHECK(at::allclose(gradient(kl("k1", logp, ref)), at::ones_like(d)));
  CHECK(at::allclose(gradient(kl("k2", logp, ref)), d));
  CHECK(at::allclose(gradient(kl("k3", logp, ref)), 1 - (-d).exp()));
  CHECK(at::allclose(gradient(kl("k3+", logp, ref)), d));
}

TEST_CASE("needs follow the axes") {
  CHECK_FALSE(algorithm_of("grpo")->needs().logp_ref);
  CHECK_FALSE(algorithm_of("grpo")->needs().logp_rollout);
  CHECK(algorithm_of("grpo")->needs().logp_old);
  CHECK(algorithm_of("grpo", {{"kl_coef", 0.1}})->needs().logp_ref);
  CHECK(algorithm_of("grpo", {{"correction", "mask"}})->needs().logp_rollout);
  CHECK_FALSE(algorithm_of("simko")->needs().entropy_gradient);
  CHECK(algorithm_of("grpo", {{"entropy_coef", 0.01}})->needs().entropy_gradient);
  CHECK(algorithm_of("luffy")->needs().entropy_gradient);
}

TEST_CASE("presets and departures from them") {
  using Lines = std::vector<std::string>;
  const auto of = [](const std::string& name, const Json& set = Json::object()) {
    return departures(*algorithm_of(name, set));
  };
  CHECK(of("dapo").empty());
  CHECK(of("dapo", {{"clip_high", 0.3}, {"kl_coef", 0.1}}) ==
        Lines{"clip_high 0.3 (paper: 0.28)", "kl_coef 0.1 (paper: 0.0)"});
  // A section's fields one by one.
  CHECK(of("ppo", {{"critic", {{"lambda", 1}}}}) == Lines{"critic.lambda 1.0 (paper: 0.95)"});
  // Where the preset has another value than the paper, that is said whether or not anything is overridden,
  // and the paper's value is none.
  CHECK(of("grpo") == Lines{"kl_coef 0.0 (paper: 0.04)"});
  CHECK(of("grpo", {{"kl_coef", 0.04}}).empty());
  CHECK(of("grpo", {{"kl_coef", 0.1}}) == Lines{"kl_coef 0.1 (paper: 0.04)"});
  CHECK(of("grpo", {{"clip_high", 0.28}}) ==
        Lines{"clip_high 0.28 (paper: 0.2)", "kl_coef 0.0 (paper: 0.04)"});
  CHECK(of("topr") == Lines{"baseline 0.5 (paper: 0.0)"});
  CHECK(of("topr", {{"baseline", 0}}).empty());
  CHECK(of("gmpo", {{"advantage_eps", 1e-8}}).empty());
  CHECK(of("dro", {{"level", "sequence"}}).empty());
  for (const std::string& name : policy_registry().names()) {
    CAPTURE(name);
    CHECK(algorithm_of(name)->name == name);
    CHECK(of(name).size() == notes_of(policy_notes(), name).paper.size());
    for (const PaperValue& p : notes_of(policy_notes(), name).paper)
      CHECK(of(name, {{p.field, p.value}}).empty());
  }
  CHECK_THROWS_WITH_AS(algorithm_of("grpo", {{"correction_low", 3.0}}),
                       doctest::Contains("above correction_high"), UserError);
  CHECK_THROWS_WITH_AS(algorithm_of("grpo", {{"clip_hi", 3.0}}),
                       doctest::Contains("did you mean \"clip_high\""), UserError);
}

}  // namespace temper::objective
