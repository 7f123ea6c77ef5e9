// The objectives beside PPO clip: goldens, the identities between them, and what each promises.
#include "base/error.h"
#include "cases.h"
#include "objective/policy/advantages.h"
#include "objective/policy/ratio.h"
#include "tensor/packed.h"

namespace temper::objective {
namespace {

at::Tensor gradient_of(const PolicyBatch& step, const std::string& name, const Json& overrides) {
  const auto algorithm = algorithm_of(name, overrides);
  return run_step(*algorithm, step, {all_rows(step)}).gradient;
}

// On policy, with group-centred advantages and every sequence included.
PolicyBatch on_policy_step(uint64_t seed, int64_t sequences = 12) {
  PolicyBatch step = random_step(seed, sequences);
  step.logp_old = step.logp;
  step.include = at::Tensor();
  step.advantage = advantages(*algorithm_of("dr_grpo"), step.reward, step.group);
  return step;
}

void check_close(const at::Tensor& a, const at::Tensor& b) {
  CHECK((a - b).abs().max().item<double>() < 1e-12);
  CHECK(b.abs().max().item<double>() > 1e-3);
}

// d loss / d logp of one token of the given ratio and advantage (and reward).
double gradient_at(const std::string& name, double ratio, double a, const Json& set = Json::object()) {
  const Json sequence = {{"logp", {std::log(ratio)}}, {"logp_old", {0.0}}, {"advantage", a}, {"reward", a}};
  return evaluate_objective(name, {{"sequences", {sequence}}}, set)["grad"]["logp"][0][0];
}

}  // namespace

TEST_CASE("policy objectives: values and gradients of TRL and of the papers' formulas") {
  check_golden_file("policy.json");
}

TEST_CASE("advantages are those of verl and TRL") {
  for (const Json& item : read_json_file(test_file("objective/golden/advantages.json"))) {
    const auto column = [&](const char* key) {
      return at::tensor(item[key].get<std::vector<double>>(), at::kDouble);
    };
    StepRewards step{.reward = column("reward"), .group = column("group").to(at::kLong)};
    step.length = column("length").to(at::kLong);
    step.greedy = column("greedy");
    std::vector<at::Tensor> rows;
    for (const Json& row : item["parts"])
      rows.push_back(at::tensor(row.get<std::vector<double>>(), at::kDouble));
    step.parts = at::stack(rows);
    step.part_weights = item["weights"].get<std::vector<double>>();
    for (const auto& [name, expected] : item["expected"].items()) {
      CAPTURE(name + " " + item.dump());
      const at::Tensor wanted = at::tensor(expected.get<std::vector<double>>(), at::kDouble);
      const at::Tensor found = advantages(*algorithm_of("grpo", {{"advantage", name}}), step);
      CHECK((found - wanted).abs().max().item<double>() < 1e-9);
      // Any order of the responses gives the same numbers.
      const auto order = RandomStream(1, "order").permutation(step.reward.size(0));
      const at::Tensor rows_of = at::tensor(order, at::kLong);
      StepRewards moved = step;
      for (at::Tensor* t : {&moved.reward, &moved.group, &moved.length, &moved.greedy, &moved.parts})
        *t = t->index_select(0, rows_of);
      CHECK(
          (advantages(*algorithm_of("grpo", {{"advantage", name}}), moved) - wanted.index_select(0, rows_of))
              .abs()
              .max()
              .item<double>() < 1e-9);
    }
  }
}

TEST_CASE("every advantage estimator: nulls, equal rewards and groups of one are defined") {
  for (const std::string& name : advantage_names()) {
    CAPTURE(name);
    const Needs needs = advantage_needs(name);
    if (needs.value || needs.process) continue;  // per token: critic_advantages, process_advantages
    const auto algorithm = algorithm_of("grpo", {{"advantage", name}});
    const double null = std::nan("");
    StepRewards step{.reward = at::tensor({0.1, 0.1, 0.1, 1.0, null, 0.0, null, null, 5.0}, at::kDouble),
                     .group = at::tensor({0, 0, 0, 1, 1, 1, 2, 2, 3}, at::kLong)};
    step.length = at::tensor({1, 0, 3, 2, 2, 2, 1, 1, 4}, at::kLong);
    step.greedy = at::tensor({0.1, 0.1, 0.1, 0.0, 0.0, 0.0, null, null, 5.0}, at::kDouble);
    step.parts = at::stack({step.reward, step.reward}, 1);
    step.part_weights = {1.0, 2.0};
    step.ended = at::tensor({1, 0, 1, 0, 1, 1, 0, 1, 1}, at::kDouble);
    const at::Tensor a = advantages(*algorithm, step);
    CHECK(a.isfinite().all().item<bool>());
    for (int64_t i : {4, 6, 7}) {
      if (name != "gdpo") CHECK(a[i].item<double>() == 0);
    }
    CHECK(a[3].item<double>() > a[5].item<double>());
    if (name.rfind("reinforce", 0) != 0 && name != "gdpo") {
      for (int64_t i : {0, 1, 2, 8}) CHECK(a[i].item<double>() == doctest::Approx(0));
    }
  }
}

TEST_CASE("on policy: TOPR is REINFORCE, CISPO is PPO, GMPO is GSPO, GSPO-token is GSPO") {
  const PolicyBatch step = on_policy_step(1);
  const at::Tensor a = gather_sequence(step.advantage, step.sequence);
  const double sequences = 12, tokens = static_cast<double>(step.logp.size(0));
  check_close(gradient_of(step, "topr", {{"split_on", "advantage"}}), -a / sequences);
  check_close(gradient_of(step, "cispo", Json::object()), gradient_of(step, "dapo", Json::object()));
  check_close(gradient_of(step, "cispo", {{"unified_mask", true}}), -a / tokens);
  const at::Tensor per_sequence = -a / gather_sequence(lengths_at_least_one(step), step.sequence) / sequences;
  for (const char* name : {"gmpo", "gspo", "gspo_token", "grpo", "sapo"}) {
    CAPTURE(name);
    check_close(gradient_of(step, name, Json::object()), per_sequence);
  }
  check_close(gradient_of(step, "gpg", Json::object()), -a / tokens);
  check_close(gradient_of(step, "kimi", Json::object()), -a / sequences);
  check_close(gradient_of(step, "vespo", Json::object()), -a / tokens);
}

TEST_CASE("on policy: GVPO is beta / (n - 1) REINFORCE with the group's mean, and CoPG is RLOO") {
  const PolicyBatch step = on_policy_step(2);
  const at::Tensor a = gather_sequence(step.advantage, step.sequence);
  check_close(gradient_of(step, "gvpo", {{"beta", 0.3}}), -0.3 / 3 * a / 3);
  PolicyBatch pairs = step;
  pairs.group = at::floor_divide(at::arange(12), 2);
  pairs.advantage = advantages(*algorithm_of("rloo"), pairs.reward, pairs.group);
  check_close(gradient_of(pairs, "copg", {{"against", "old"}}),
              -gather_sequence(pairs.advantage, pairs.sequence) / 6);
}

TEST_CASE("off policy: GSPO-token has GSPO's gradient, and a token's own advantage") {
  PolicyBatch step = random_step(3, 12, 0.3);
  step.advantage = advantages(*algorithm_of("grpo"), step.reward, step.group);
  const Json wide = {{"clip_low", 0.3}, {"clip_high", 0.3}};
  check_close(gradient_of(step, "gspo_token", wide), gradient_of(step, "gspo", wide));
  step.token_advantage = gather_sequence(step.advantage, step.sequence);
  step.advantage = at::Tensor();
  PolicyBatch same = step;
  check_close(gradient_of(same, "gspo_token", wide), gradient_of(step, "gspo_token", wide));
}

TEST_CASE("CoPG is GVPO: (n / beta) times it, but for a constant") {
  for (int64_t n : {2, 4}) {
    PolicyBatch step = random_step(4);
    step.include = at::Tensor();
    step.group = at::floor_divide(at::arange(12), n);
    step.advantage = at::zeros({12}, at::kDouble);
    const double beta = 0.3, groups = 12.0 / static_cast<double>(n);
    const Json set = {{"beta", beta}, {"against", "ref"}};
    const StepResult copg = run_step(*algorithm_of("copg", set), step, {all_rows(step)});
    const StepResult gvpo = run_step(*algorithm_of("gvpo", set), step, {all_rows(step)});
    const at::Tensor centered = advantages(*algorithm_of("dr_grpo"), step.reward, step.group);
    const double constant =
        0.5 * centered.square().sum().item<double>() / static_cast<double>(n - 1) / groups;
    const double scale = static_cast<double>(n) / beta;
    CHECK(copg.loss == doctest::Approx(scale * (gvpo.loss - constant)).epsilon(1e-12));
    check_close(copg.gradient, scale * gvpo.gradient);
  }
}

TEST_CASE("GVPO: a null reward and an excluded sequence are not part of their group") {
  PolicyBatch step = random_step(5, 8);
  step.include = at::ones({8});
  step.include[1] = 0;
  step.reward[6] = std::nan("");
  step.advantage = at::zeros({8}, at::kDouble);
  at::Tensor tokens;
  const PolicyBatch rest = take(step, {0, 2, 3, 4, 5, 7}, &tokens);
  const StepResult whole = run_step(*algorithm_of("gvpo"), step, {all_rows(step)});
  const StepResult part = run_step(*algorithm_of("gvpo"), rest, {all_rows(rest)});
  CHECK(whole.loss == doctest::Approx(part.loss).epsilon(1e-12));
  check_close(whole.gradient, at::zeros_like(whole.gradient).index_add(0, tokens, part.gradient));
}

TEST_CASE("the truth tables: which side of which clip still learns") {
  // One token: sequence and token are the same. Rows: name, options, then A > 0 at low, inside, high; A < 0
  // the same.
  struct Row {
    const char* name;
    Json set;
    bool learns[6];
  };
  const std::vector<Row> rows = {
      {"gspo", {{"clip_low", 0.2}, {"clip_high", 0.2}}, {true, true, false, false, true, true}},
      {"gmpo", Json::object(), {true, true, false, false, true, true}},
      {"cispo", Json::object(), {true, true, true, true, true, true}},
      {"cispo", {{"unified_mask", true}}, {true, true, false, false, true, true}},
      {"topr", {{"baseline", 0}}, {true, true, true, true, true, true}},
      {"sapo", Json::object(), {true, true, true, true, true, true}},
  };
  for (const Row& row : rows) {
    int i = 0;
    for (const double a : {1.0, -1.0}) {
      for (const double ratio : {0.5, 1.0, 1.8}) {
        CAPTURE(std::string(row.name) + " A " + std::to_string(a) + " r " + std::to_string(ratio));
        CHECK((gradient_at(row.name, ratio, a, row.set) != 0) == row.learns[i++]);
      }
    }
  }
  // How much: CISPO's and TOPR's weights are bounded and detached.
  CHECK(gradient_at("cispo", 8.0, 1.0) == doctest::Approx(-5));
  CHECK(gradient_at("cispo", 0.1, -1.0) == doctest::Approx(0.1));
  CHECK(gradient_at("cispo", 0.1, -1.0, {{"weight_min", 0.5}}) == doctest::Approx(0.5));
  CHECK(gradient_at("topr", 0.01, 1.0, {{"baseline", 0}}) == doctest::Approx(-1));
  CHECK(gradient_at("topr", 0.25, -1.0, {{"baseline", 0}}) == doctest::Approx(0.25));
  CHECK(gradient_at("topr", 3.0, -1.0, {{"baseline", 0}}) == doctest::Approx(1));
  CHECK(gradient_at("gmpo", 3.0, -1.0) == doctest::Approx(3));
}

TEST_CASE("GMPO: a clipped token loses its own gradient and still sets the value") {
  const Json sequence = {{"logp", {1.0, 0.1}}, {"logp_old", {0.0, 0.0}}, {"advantage", 2.0}};
  const Json out = evaluate_objective("gmpo", {{"sequences", {sequence}}}, Json::object());
  const double value = -2.0 * std::exp((0.4 + 0.1) / 2);
  CHECK(out["loss"].get<double>() == doctest::Approx(value));
  CHECK(out["grad"]["logp"][0][0].get<double>() == 0);
  CHECK(out["grad"]["logp"][0][1].get<double>() == doctest::Approx(value / 2));
}

TEST_CASE("TOPR: the baseline of a wished share of positives") {
  for (const double p : {0.2, 0.5, 0.9}) {
    std::vector<double> reward(100, -1.0);
    std::fill(reward.begin(), reward.begin() + static_cast<int>(100 * p + 0.5), 1.0);
    for (const double share : {0.1, 0.15, 0.5}) {
      const double c = topr_baseline(at::tensor(reward, at::kDouble), share);
      CHECK(c == doctest::Approx((p - share) / (p + share - 2 * p * share)).epsilon(1e-9));
      CHECK(p * (1 - c) / (1 + c * (1 - 2 * p)) == doctest::Approx(share).epsilon(1e-9));
    }
  }
  PolicyBatch step = random_step(6, 32);
  step.include = at::Tensor();
  const StepResult r =
      run_step(*algorithm_of("topr", {{"positive_share", 0.2}}), step, random_parts(step, 1));
  CHECK(r.metrics.at("positive_share") == doctest::Approx(0.2));
  CHECK(topr_baseline(at::full({4}, 2.0), 0.5) == doctest::Approx(2.0));
  CHECK(topr_baseline(at::full({4}, std::nan("")), 0.5) == 0.0);
}

TEST_CASE("values that are known to hurt are allowed and named") {
  const auto last = [](const std::string& name, const Json& set) {
    return departures(*algorithm_of(name, set)).back();
  };
  CHECK(last("cispo", {{"weight_min", 0.5}}).find("weight_min above 0") == 0);
  CHECK(last("topr", {{"negative_min", 0.5}}).find("negative_min above 0") == 0);
  CHECK_THROWS_WITH_AS(algorithm_of("gspo", {{"correction", "mask"}}),
                       doctest::Contains("must be at level \"sequence\""), UserError);
  CHECK_THROWS_WITH_AS(algorithm_of("topr", {{"split_on", "advantage"}, {"positive_share", 0.2}}),
                       doctest::Contains("does not read it"), UserError);
}

TEST_CASE("TOPR learns from failures whose reward is 0, and says when it learns from none") {
  const Json sequences = {{{"logp", {-1.0, -0.5}}, {"logp_old", {-0.5, -0.5}}, {"reward", 1}, {"group", 0}},
                          {{"logp", {-2.0, -0.25}}, {"logp_old", {-1.5, -0.75}}, {"reward", 0}, {"group", 0}},
                          {{"logp", {-3.0}}, {"logp_old", {-1.0}}, {"reward", 0}, {"group", 0}}};
  const Json zero_one = {{"sequences", sequences}};
  Json signs = zero_one;
  for (Json& s : signs["sequences"]) s["reward"] = 2 * s["reward"].get<double>() - 1;
  // Half of what the paper's rewards of 1 and -1 give without a baseline.
  const Json preset = evaluate_objective("topr", zero_one, Json::object());
  const Json paper = evaluate_objective("topr", signs, {{"baseline", 0}});
  CHECK(preset["loss"].get<double>() == doctest::Approx(0.5 * paper["loss"].get<double>()));
  CHECK(paper["loss"].get<double>() == doctest::Approx((1.5 - 2.25 - std::exp(-2.0) * 3) / 3));
  CHECK(preset["grad"]["logp"][1][0].get<double>() == doctest::Approx(0.5 / 3));
  CHECK(evaluate_objective("topr", zero_one, {{"baseline", 0}})["grad"]["logp"][1][0].get<double>() == 0);

  const auto warning = [](std::vector<double> reward, const Json& set) {
    PolicyBatch step = random_step(6, 3);
    step.include = at::Tensor();
    reward.resize(static_cast<size_t>(step.sequences), reward.back());
    step.reward = at::tensor(reward, at::kDouble);
    step.advantage = step.reward - 0.5;
    const auto objective = algorithm_of("topr", set)->objective->make();
    objective->prepare(step);
    return objective->warning();
  };
  const double null = std::nan("");
  CHECK(warning({1, 0, null, 1}, Json::object()).empty());
  CHECK(warning({1, -1, 1}, {{"baseline", 0}}).empty());
  CHECK(warning({1, 0, 1}, {{"positive_share", 0.2}}).empty());
  CHECK(warning({1, 0, 1}, {{"split_on", "advantage"}}).empty());
  CHECK(warning({null, 0, 1}, {{"baseline", 0}}).find("below the baseline 0 (the lowest is 0)") !=
        std::string::npos);
  CHECK(warning({1, 1}, Json::object()).find("below the baseline 0.5 (the lowest is 1)") !=
        std::string::npos);
}

TEST_CASE("further inputs on numbers: greedy rewards, several rewards") {
  Json input = parse_json(R"({"sequences": [
    {"logp": [-1], "logp_old": [-1], "reward": 1, "group": 0, "greedy": 0.5, "rewards": [1, 0]},
    {"logp": [-1], "logp_old": [-1], "reward": 0, "group": 0, "greedy": 0.5, "rewards": [0, null]}]})",
                          "t");
  const Json out = evaluate_objective("remax", input, Json::object());
  CHECK(out["grad"]["logp"][0][0].get<double>() == doctest::Approx(-0.25));
  CHECK(evaluate_objective("gdpo", input, Json::object())["grad"]["logp"][0][0].get<double>() < 0);
  input["reward_weights"] = {1.0};
  CHECK_THROWS_WITH_AS(evaluate_objective("gdpo", input, Json::object()),
                       doctest::Contains("array of 2 numbers"), UserError);
  input.erase("reward_weights");
  for (Json& s : input["sequences"]) s.erase("greedy");
  CHECK_THROWS_WITH_AS(evaluate_objective("remax", input, Json::object()),
                       doctest::Contains("\"greedy\" is missing"), UserError);
}

}  // namespace temper::objective
