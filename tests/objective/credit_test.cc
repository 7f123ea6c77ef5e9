// What gives tokens their credit: rewards of steps, turns of conversations, CodeRL's critic.
#include "base/error.h"
#include "cases.h"
#include "objective/credit/process.h"
#include "objective/credit/turns.h"

namespace temper::objective {
namespace {

at::Tensor doubles(const std::vector<double>& values) {
  return at::tensor(values, at::kDouble);
}
at::Tensor longs(const std::vector<int64_t>& values) {
  return at::tensor(values, at::kLong);
}

// Two responses of three tokens and one of two, in one group; steps of the first two.
struct Example {
  PolicyBatch step;
  ProcessScores scores;
  Example() {
    step.sequences = 3;
    step.sequence = longs({0, 0, 0, 1, 1, 1, 2, 2});
    step.group = longs({4, 4, 4});
    step.reward = doubles({1, 0, 0});
    scores.score = doubles({0.9, 0.3, 0.5, 0.7});
    scores.sequence = longs({0, 0, 1, 1});
    scores.token = longs({0, 2, 4, 4});
    scores.known = longs({1, 1, 0}).to(at::kBool);
    scores.easy = longs({1, 1, 1}).to(at::kBool);
  }
};

}  // namespace

TEST_CASE("rewards of steps: values and gradients of the formulas") {
  check_golden_file("process.json");
}
TEST_CASE("turns: values and gradients of GiGPO's formula") {
  check_golden_file("turns.json");
}
TEST_CASE("coderl: values and gradients of the authors' losses") {
  check_golden_file("coderl.json");
}

TEST_CASE("refinements of step rewards") {
  const at::Tensor q = doubles({0.9, 0.3, 0.5, 0.7}), of = longs({0, 0, 0, 2});
  CHECK(at::allclose(refine_process({"clip"}, 0.6, q, of), doubles({0, -0.3, -0.1, 0})));
  CHECK(at::allclose(refine_process({"delta"}, 0.6, q, of), doubles({0.6, -0.2, 0.5, 0.7})));
  CHECK(at::allclose(refine_process({"clip", "delta"}, 0.6, q, of), doubles({0.3, -0.2, -0.1, 0})));
  CHECK(at::allclose(refine_process({"delta", "clip"}, 0.1, q, of), doubles({0, -0.3, 0, 0})));
  CHECK(refine_process({"delta", "clip"}, 0.1, doubles({}), longs({})).numel() == 0);

  // delta telescopes: whatever the steps are, what is still to come at step k is q_k, so repeating steps pays
  // nothing.
  RandomStream random(1, "steps");
  std::vector<double> scores;
  std::vector<int64_t> sequence;
  for (int64_t s = 0; s < 5; ++s) {
    for (uint64_t k = 0; k <= random.below(7); ++k) {
      scores.push_back(random.uniform());
      sequence.push_back(s);
    }
  }
  const at::Tensor all = doubles(scores), whose = longs(sequence);
  CHECK(at::allclose(return_to_go(refine_process({"delta"}, 0, all, whose), whose), all));
  CHECK(at::allclose(return_to_go(refine_process({"clip", "delta"}, 0.4, all, whose), whose),
                     (all - 0.4).clamp_max(0)));
}

TEST_CASE("rewards of steps stand where the steps end, and what is not known has none") {
  Example e;
  ProcessOptions o;
  o.weight = 2;
  o.outcome_weight = 0.5;
  const double null = std::nan("");
  const auto same = [](const at::Tensor& a, const at::Tensor& b) {
    CHECK(at::allclose(a, b, 1e-12, 1e-12, /*equal_nan=*/true));
  };
  // Two steps of the second response end at one token.
  same(process_token_rewards(o, e.step, e.scores), doubles({1.8, 0, 1.1, 0, 2.4, 0, null, null}));
  // The outcome of the first response counts only where its level is easy.
  e.scores.easy = longs({0, 1, 1}).to(at::kBool);
  same(process_token_rewards(o, e.step, e.scores), doubles({1.8, 0, 0.6, 0, 2.4, 0, null, null}));
  // An outcome that is not known is missed only where it counts.
  e.step.reward = doubles({null, null, 0});
  same(process_token_rewards(o, e.step, e.scores), doubles({1.8, 0, 0.6, null, null, null, null, null}));

  auto algorithm = algorithm_of("grpo", {{"advantage", "return_to_go"}, {"process", {{"reward", "prm"}}}});
  e = Example();
  same(process_advantages(*algorithm, e.step, e.scores), doubles({2.2, 1.3, 1.3, 1.2, 1.2, 0, 0, 0}));
}

TEST_CASE("process supervision: normalised over all steps of the group, summed from a token on") {
  const Example e;
  const auto of = [&](const Json& process, const ProcessScores& scores) {
    Json all = process;
    all["reward"] = "prm";
    return process_advantages(
        *algorithm_of("grpo", {{"advantage", "process_zscore"}, {"advantage_eps", 0}, {"process", all}}),
        e.step, scores);
  };
  const double mean = 0.6, deviation = std::sqrt((0.09 + 0.09 + 0.01 + 0.01) / 3);
  const auto z = [&](double q) { return (q - mean) / deviation; };
  const at::Tensor steps = of({{"outcome_weight", 0}}, e.scores);
  CHECK(at::allclose(steps,
                     doubles({z(0.9) + z(0.3), z(0.3), z(0.3), z(0.5) + z(0.7), z(0.5) + z(0.7), 0, 0, 0}),
                     1e-9, 1e-9));
  // Beside it the z-score of the outcome at every token.
  const at::Tensor both = of(Json::object(), e.scores);
  const double third = std::sqrt(1. / 3);
  CHECK(at::allclose(both - steps,
                     doubles({2 * third, 2 * third, 2 * third, -third, -third, -third, -third, -third}), 1e-9,
                     1e-9));
  // Equal steps, one step, none: no advantage.
  ProcessScores few = e.scores;
  few.score = doubles({0.1, 0.1, 0.1, 0.1});
  CHECK(of({{"outcome_weight", 0}}, few).abs().sum().item<double>() == 0);
  few.score = doubles({0.1});
  few.sequence = longs({1});
  few.token = longs({5});
  CHECK(of({{"outcome_weight", 0}}, few).abs().sum().item<double>() == 0);
  few.score = doubles({});
  few.sequence = few.token = longs({});
  CHECK(of({{"outcome_weight", 0}}, few).abs().sum().item<double>() == 0);
}

TEST_CASE("rewards of steps: what does not fit is told") {
  const auto refused = [](const Json& set, const std::string& text) {
    CAPTURE(set.dump());
    CHECK_THROWS_WITH_AS(algorithm_of("grpo", set), doctest::Contains(text.c_str()), UserError);
  };
  refused({{"advantage", "process_zscore"}}, "process.reward: advantage \"process_zscore\"");
  refused({{"process", {{"reward", "prm"}}}}, "advantage: \"group_zscore\" has one number a response");
  const Json on = {{"reward", "prm"}};
  Json bad = on;
  bad["refine"] = {"delta", "clop"};
  refused({{"advantage", "return_to_go"}, {"process", bad}},
          "process.refine: expected clip or delta, found \"clop\"");
  bad = on;
  bad["weight"] = bad["outcome_weight"] = 0;
  refused({{"advantage", "return_to_go"}, {"process", bad}}, "nothing is left to learn from");
  refused({{"process", {{"refine", "clip"}}}}, "refine");
  refused({{"turn_advantage", {{"omega", 1}}}, {"advantage", "gae"}}, "turn_advantage.omega");
  CHECK_THROWS_WITH_AS(algorithm_of("gspo", {{"turn_advantage", {{"omega", 1}}}}),
                       doctest::Contains("for an objective of tokens"), UserError);

  const auto input = [](const std::string& steps, const std::string& turns) {
    return parse_json(R"({"sequences": [{"logp": [-1, -2], "logp_old": [-1, -2], "reward": 1, "group": 0,
      "steps": )" + steps +
                          R"(, "turns": )" + turns + "}]}",
                      "t");
  };
  const Json process = {{"advantage", "return_to_go"}, {"process", on}},
             turns = {{"turn_advantage", {{"omega", 1}}}};
  const auto unread = [&](const Json& given, const Json& set, const std::string& text) {
    CAPTURE(given.dump());
    CHECK_THROWS_WITH_AS(evaluate_objective("grpo", given, set), doctest::Contains(text.c_str()), UserError);
  };
  unread(input("[[2, 0.5]]", "[]"), process, "sequences.0.steps.0: expected a token from 0 to 1, found 2");
  unread(input("[[1, 0.5], [0, 1]]", "[]"), process, "sequences.0.steps.1: expected a token from 1 to 1");
  unread(input("3", "[]"), process, "sequences.0.steps: expected an array");
  unread(input("null", "[{\"state\": \"a\"}]"), turns, "sequences.0.turns.0: \"reward\" is missing");
  unread(input("null", R"([{"state": "a", "reward": 1, "begin": 1, "end": 0}])"), turns,
         "sequences.0.turns.0.end: expected a token from 1 to 2");
}

TEST_CASE("GiGPO: turns that began in one state are compared by their discounted returns") {
  TurnOptions o;
  o.omega = 2;
  o.gamma = 0.5;
  o.normalise = "none";
  const at::Tensor reward = doubles({0, 1, 0, 0, 4}), of = longs({0, 0, 1, 1, 2});
  CHECK(at::allclose(turn_returns(reward, of, 0.5), doubles({0.5, 1, 0, 0, 4})));
  Turns turns{reward, of, {"hall", "door", "hall", "cave", "hall"}, longs({0, 0, 1, 2, -1, 3, 4})};
  const at::Tensor advantage = doubles({1, -1, 0}), sequence = longs({0, 0, 0, 1, 1, 1, 2});
  // The third conversation is of another group, so its hall is another one; door and cave are alone.
  const auto found = [&](const at::Tensor& group) {
    return turn_advantages(o, 1e-4, advantage, group, sequence, turns);
  };
  CHECK(at::allclose(found(longs({5, 5, 6})), doubles({1.5, 1.5, 1, -1.5, -1, -1, 0})));
  // In one group the halls have returns .5, 0 and 4, with mean 1.5.
  CHECK(at::allclose(found(longs({5, 5, 5})), doubles({-1, -1, 1, -4, -1, -1, 5})));
  o.normalise = "std";
  const double deviation = std::sqrt((1 + 2.25 + 6.25) / 2) + 1e-4;
  CHECK(at::allclose(found(longs({5, 5, 5})), doubles({1 - 2 / deviation, 1 - 2 / deviation, 1,
                                                       -1 - 3 / deviation, -1, -1, 5 / deviation})));
  // A turn without a reward, and what leads to it, is left out.
  turns.reward = doubles({0, std::nan(""), 0, 0, 4});
  o.normalise = "none";
  CHECK(at::allclose(found(longs({5, 5, 5})), doubles({1, 1, 1, -1 - 4, -1, -1, 4})));
  // States that are not told are equal to none.
  turns.reward = reward;
  turns.state = {"", "door", "", "cave", ""};
  CHECK(at::allclose(found(longs({5, 5, 5})), gather_sequence(advantage, sequence)));
  o.omega = 0;
  CHECK(at::equal(found(longs({5, 5, 5})), gather_sequence(advantage, sequence)));
  o.omega = 1;
  turns = {doubles({}), longs({}), {}, at::full({7}, -1, at::kLong)};
  CHECK(at::equal(found(longs({5, 5, 5})), gather_sequence(advantage, sequence)));
}

TEST_CASE("CodeRL: the probability of the outcome weighs a sampled token, and is no way for the gradient") {
  PolicyBatch step = random_step(3);
  const auto algorithm = algorithm_of("coderl", {{"ce_coef", 0}, {"critic", {{"coef", 0}}}});
  step.advantage = advantage_of(*algorithm, step);
  step.include = at::Tensor();
  step.outcome_score = at::zeros_like(step.outcome_score);
  step.outcome = at::where(at::arange(12).eq(4), -1, 2).to(at::kLong);
  const StepResult r = run_step(*algorithm, step, random_parts(step, 3));
  const at::Tensor shown = gather_sequence(step.demonstration, step.sequence).ne(0);
  const at::Tensor known = gather_sequence(step.outcome, step.sequence).ge(0);
  const double sampled = shown.logical_not().sum().item<double>();
  const at::Tensor wanted = at::where(shown.logical_not().logical_and(known),
                                      -0.25 * gather_sequence(step.advantage, step.sequence) / sampled, 0.0);
  CHECK(at::allclose(r.gradient, wanted));
  step.outcome_score.requires_grad_();
  CHECK_FALSE(outcome_probability(step.outcome_score, step.outcome, step.sequence).requires_grad());
}

TEST_CASE("CodeRL: a critic learns of every token, or of the largest scores; nothing known is loss 0") {
  PolicyBatch step = random_step(5);
  const auto loss = [&](const std::string& pool, const PolicyBatch& all) {
    CriticOptions critic;
    critic.kind = CriticKind::kOutcomes;
    critic.pool = pool;
    return critic_loss(critic, all, totals(all)).item<double>();
  };
  for (const std::string pool : {"token", "max"}) {
    CAPTURE(pool);
    double sum = 0, count = 0;
    for (int64_t s = 0; s < 12; ++s) {
      const at::Tensor mine = step.outcome_score.index_select(0, step.sequence.eq(s).nonzero().flatten());
      const auto k = step.outcome[s].item<int64_t>();
      if (k < 0 || mine.size(0) == 0 || s == 7) continue;  // left out by random_step
      const at::Tensor rows = pool == "token" ? mine : std::get<0>(mine.max(0)).unsqueeze(0);
      sum -= at::log_softmax(rows, -1).select(1, k).sum().item<double>();
      count += static_cast<double>(rows.size(0));
    }
    CHECK(loss(pool, step) == doctest::Approx(sum / count).epsilon(1e-10));
    PolicyBatch none = step;
    none.outcome = at::full({12}, -1, at::kLong);
    CHECK(loss(pool, none) == 0);
  }
}

}  // namespace temper::objective
