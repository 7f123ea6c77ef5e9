#include "base/error.h"
#include "cases.h"
#include "objective/distill/distill.h"
#include "objective/reward/reward_model.h"

namespace temper::objective {
namespace {

void check_refused(const char* name, const char* input, const char* text, const Json& set = Json::object()) {
  CAPTURE(input);
  CHECK_THROWS_WITH_AS(evaluate_objective(name, parse_json(input, "t"), set), doctest::Contains(text),
                       UserError);
}

}  // namespace

TEST_CASE("reward-model losses: values and gradients of TRL and of the formulas") {
  check_golden_file("reward.json");
}

TEST_CASE("distillation losses: values and gradients of TRL's GKD and of BabyLlama") {
  check_golden_file("distill.json");
}

TEST_CASE("reward losses add up over micro-batches") {
  RandomStream random(1, "reward");
  std::vector<double> score, label, target;
  for (int i = 0; i < 24; ++i) {
    score.push_back(random.normal());
    label.push_back(i % 7 == 0 ? std::nan("") : static_cast<double>(random.below(2)));
    target.push_back(i % 5 == 0 ? std::nan("") : random.normal());
  }
  RewardBatch step;
  step.score = at::tensor(score, at::kDouble).unsqueeze(1);
  step.strength = at::tensor(target, at::kDouble).slice(0, 0, 12).abs().nan_to_num(1.0);
  step.group = at::floor_divide(at::arange(24), 6);
  step.label = at::tensor(label, at::kDouble);
  step.target = at::tensor(target, at::kDouble).unsqueeze(1);
  for (const std::string& name : reward_loss_registry().names()) {
    CAPTURE(name);
    const auto loss = reward_loss_registry().find(name)->make()->make();
    const RewardTerms whole = (*loss)(step);
    double sum = 0, count = 0;
    std::map<std::string, double> metrics;
    for (int64_t from : {0, 6, 18}) {
      const int64_t to = from == 0 ? 6 : from == 6 ? 18 : 24;
      RewardBatch part{step.score.slice(0, from, to), step.strength.slice(0, from / 2, to / 2),
                       step.group.slice(0, from, to), step.label.slice(0, from, to),
                       step.target.slice(0, from, to)};
      const RewardTerms terms = (*loss)(part);
      sum += terms.sum.item<double>();
      count += terms.count;
      for (const auto& [key, value] : terms.metrics) metrics[key] += value.item<double>();
    }
    CHECK(sum == doctest::Approx(whole.sum.item<double>()).epsilon(1e-12));
    CHECK(count == whole.count);
    CHECK(count > 0);
    for (const auto& [key, value] : whole.metrics)
      CHECK(metrics[key] == doctest::Approx(value.item<double>()));
  }
}

TEST_CASE("reward losses: far scores and nothing to learn are finite") {
  for (const std::string& name : reward_loss_registry().names()) {
    CAPTURE(name);
    const auto loss = reward_loss_registry().find(name)->make()->make();
    RewardBatch batch;
    batch.score = at::tensor({1e4, -1e4, 0.0, 0.0}, at::kFloat).unsqueeze(1).requires_grad_();
    batch.strength = at::ones({2});
    batch.group = at::zeros({4}, at::kLong);
    batch.label = at::tensor({0.0, 1.0, std::nan(""), 1.0}, at::kFloat);
    batch.target = at::full({4, 1}, std::nan(""), at::kFloat);
    const RewardTerms terms = (*loss)(batch);
    CHECK(std::isfinite(terms.sum.item<double>()));
    if (terms.sum.requires_grad())
      CHECK(torch::autograd::grad({terms.sum}, {batch.score}, {}, {}, false, true)[0]
                .isfinite()
                .all()
                .item<bool>());
    batch.label = at::ones({4});
    CHECK(std::isfinite((*loss)(batch).sum.item<double>()));
  }
}

TEST_CASE("scores of steps become one") {
  const at::Tensor score = at::tensor({1.0, -2.0, 0.5, 3.0}, at::kDouble),
                   solution = at::tensor({0, 0, 0, 2}, at::kLong);
  const auto check = [&](const char* how, double first, double last) {
    const at::Tensor found = aggregate_steps(how, score, solution, 3);
    CHECK(found[0].item<double>() == doctest::Approx(first));
    CHECK(found[1].item<double>() == 0);
    CHECK(found[2].item<double>() == doctest::Approx(last));
  };
  const auto s = [](double x) { return 1 / (1 + std::exp(-x)); };
  check("min", -2, 3);
  check("mean", -0.5 / 3, 3);
  check("last", 0.5, 3);
  check("product", s(1) * s(-2) * s(0.5), s(3));
  CHECK(aggregate_steps("last", at::zeros({0}), at::zeros({0}, at::kLong), 2).abs().sum().item<double>() ==
        0);
}

TEST_CASE("distillation: several teachers, sampled logits, excluded tokens") {
  const at::Tensor a = at::tensor({1.0, 2.0, 3.0}, at::kDouble).unsqueeze(0),
                   b = at::tensor({3.0, 0.0, 0.0}, at::kDouble).unsqueeze(0);
  CHECK(at::allclose(mean_logits({a, b}), at::tensor({2.0, 1.0, 1.5}, at::kDouble).unsqueeze(0)));
  CHECK_THROWS_WITH_AS(mean_logits({a, at::zeros({1, 4})}), doctest::Contains("3 and 4 tokens"), UserError);
  DistillOptions options;
  CHECK_THROWS_WITH_AS(options(a, at::zeros({1, 4}, at::kDouble)), doctest::Contains("same tokenizer"),
                       UserError);

  // Sampling every token in proportion to its probability is the cross entropy with the teacher, and so
  // forward KL but for the teacher's entropy.
  const at::Tensor student = at::log_softmax(a, -1), teacher = at::log_softmax(b, -1);
  options.beta = 0;
  const double entropy = -(teacher.exp() * teacher).sum().item<double>();
  CHECK(sampled_cross_entropy(student, teacher.exp()).item<double>() ==
        doctest::Approx(options(a, b).item<double>() + entropy));

  at::Tensor cut = b.clone();
  cut[0][1] = -std::numeric_limits<double>::infinity();
  for (const double beta : {0.0, 0.5}) {
    options.beta = beta;
    const at::Tensor leaf = a.clone().requires_grad_();
    const at::Tensor value = options(leaf, cut).sum();
    CHECK(std::isfinite(value.item<double>()));
    CHECK(torch::autograd::grad({value}, {leaf})[0].isfinite().all().item<bool>());
  }
  CHECK(at::allclose(reverse_kl_advantage(a, b), b - a));
}

TEST_CASE("minillm: what follows a token is its advantage, discounted, summed or averaged") {
  const at::Tensor student = at::tensor({-1.0, -2.0, -3.0, -0.5}, at::kDouble),
                   teacher = at::tensor({-2.0, -1.5, -1.0, -0.75}, at::kDouble),
                   sequence = at::tensor({0, 0, 0, 2}, at::kLong);  // rewards -1, 0.5, 2 and -0.25
  MiniLlmOptions o;
  const auto check = [&](std::vector<double> expected) {
    CHECK(at::allclose(o.advantage(student, teacher, sequence), at::tensor(expected, at::kDouble)));
  };
  check({1.25, 2, 0, 0});
  o.normalise_length = false;
  check({2.5, 2, 0, 0});
  o.gamma = 0.5;
  check({1.5, 2, 0, 0});
  o.single_step = false;
  check({-0.25, 1.5, 2, -0.25});
  o.normalise_length = true;
  check({-0.25 / 1.75, 1.5 / 1.5, 2, -0.25});
  const Json out = evaluate_objective(
      "minillm",
      parse_json(R"({"sequences": [{"logp": [-1, -2, -3], "logp_teacher": [-2, -1.5, -1]}]})", "t"),
      Json::object());
  CHECK(worst_difference(out["grad"]["logp"], Json::array({Json::array({-1.25 / 3, -2.0 / 3, 0.0})})) <
        1e-12);
}

TEST_CASE(
    "minillm: with every answer weighed by its probability its gradient is that of the whole answers' "
    "reverse KL") {
  // Answers of two tokens from a vocabulary of three; the second's logits depend on the first.
  const auto random = [](int64_t rows, int64_t seed) {
    return at::randn({rows, 3}, at::detail::createCPUGenerator(seed), at::kDouble);
  };
  const at::Tensor logits = random(4, 1).requires_grad_(), teacher = at::log_softmax(random(4, 2), -1);
  const at::Tensor logp = at::log_softmax(logits, -1);
  at::Tensor exact = at::zeros({}, at::kDouble);
  for (int64_t a = 0; a < 3; ++a) {
    for (int64_t b = 0; b < 3; ++b) {
      const at::Tensor q = logp[0][a] + logp[1 + a][b];
      exact = exact + q.exp() * (q - teacher[0][a] - teacher[1 + a][b]);
    }
  }
  const at::Tensor expected = torch::autograd::grad({exact}, {logits}, {}, true)[0];
  for (const bool single_step : {true, false}) {
    MiniLlmOptions o;
    o.normalise_length = false;
    o.single_step = single_step;
    at::Tensor loss = at::zeros({}, at::kDouble);
    for (int64_t a = 0; a < 3; ++a) {
      for (int64_t b = 0; b < 3; ++b) {
        const at::Tensor own = at::stack({logp[0][a], logp[1 + a][b]}),
                         theirs = at::stack({teacher[0][a], teacher[1 + a][b]});
        at::Tensor value = -(o.advantage(own.detach(), theirs, at::zeros({2}, at::kLong)) * own).sum();
        if (single_step) {
          const at::Tensor rows = at::tensor({int64_t{0}, 1 + a}, at::kLong);
          value = value + o.divergence(logits.index_select(0, rows), teacher.index_select(0, rows)).sum();
        }
        loss = loss + own.sum().exp().detach() * value;
      }
    }
    CHECK(at::allclose(torch::autograd::grad({loss}, {logits}, {}, true)[0], expected, 1e-9, 1e-9));
  }
}

TEST_CASE("wrong scores and logits are refused in one line") {
  check_refused("bt", R"({"pairs": [{"chosen": {"score": 1}}]})", "pairs.0: \"rejected\" is missing");
  check_refused("bt", R"({"pairs": [{"chosen": {"score": 1}, "rejected": {"score": null}}]})",
                "pairs.0.rejected.score: expected a finite number");
  check_refused("margin_bt", R"({"pairs": [{"chosen": {"score": 1}, "rejected": {"score": 2}}]})",
                "\"strength\" is missing");
  check_refused("listwise", R"({"sequences": [{"score": 1, "label": 1}]})", "\"group\" is missing");
  check_refused("regression", R"({"sequences": [{"score": [1, 2], "target": [1]}]})",
                "2 scores but 1 targets");
  check_refused("process", R"({"sequences": [{"score": [1, 2], "label": [1]}]})",
                "1 numbers, but score has 2");
  check_refused("forward_kl", R"({"sequences": [{"student": [[1, 2]], "teacher": [[1, 2, 3]]}]})",
                "expected 2 logits");
  check_refused("forward_kl", R"({"sequences": [{"student": [[1, 2]], "teacher": []}]})",
                "0 rows, but student has 1");
  check_refused("kd", R"({"sequences": [{"student": [[1, 2]], "teacher": [[1, 2]]}]})",
                "\"target\" needs one token id");
  check_refused("kd", R"({"sequences": [{"student": [[1, 2]], "teacher": [[1, 2]], "target": [2]}]})",
                "2 is not a token id below 2");
}

}  // namespace temper::objective
