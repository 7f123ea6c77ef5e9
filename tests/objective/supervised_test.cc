#include "objective/supervised/supervised.h"

#include "base/error.h"
#include "cases.h"
#include "tensor/logp.h"

namespace temper::objective {
namespace {

Json evaluate(const std::string& name, const std::vector<std::vector<double>>& rows,
              const Json& set = Json::object()) {
  Json sequences = Json::array();
  for (const auto& row : rows) sequences.push_back({{"logp", row}});
  return evaluate_objective(name, {{"sequences", sequences}}, set);
}
double loss_of(const std::string& name, const std::vector<std::vector<double>>& rows,
               const Json& set = Json::object()) {
  return evaluate(name, rows, set)["loss"];
}

}  // namespace

TEST_CASE("supervised losses: values and gradients of TRL and of the formulas") {
  check_golden_file("supervised.json");
}

TEST_CASE("comp_sum passes through cross entropy and ends at the mean absolute error") {
  const std::vector<std::vector<double>> rows = {{-0.5, -1.2}, {-3.0}};
  CHECK(loss_of("comp_sum", rows, {{"tau", 1}}) == loss_of("nll", rows));
  CHECK(loss_of("comp_sum", rows, {{"tau", 1.0001}}) == doctest::Approx(loss_of("nll", rows)).epsilon(1e-3));
  CHECK(loss_of("comp_sum", rows, {{"tau", 2}}) ==
        doctest::Approx((3 - std::exp(-0.5) - std::exp(-1.2) - std::exp(-3.0)) / 3));
}

TEST_CASE("dco with one try is cross entropy, and many tries forget what already passes") {
  const std::vector<std::vector<double>> rows = {{-0.5, -1.2}, {-3.0}, {-400.0, -500.0}};
  const Json one = evaluate("dco", rows, {{"n", 1}}), nll = evaluate("nll", rows);
  CHECK(one["loss"].get<double>() == doctest::Approx(nll["loss"].get<double>()).epsilon(1e-12));
  CHECK(worst_difference(one["grad"]["logp"], nll["grad"]["logp"]) < 1e-12);
  const Json many = evaluate("dco", {{-0.1}, {-40.0}}, {{"n", 100}});
  CHECK(std::abs(many["grad"]["logp"][0][0].get<double>()) < 1e-50);
  CHECK(many["grad"]["logp"][1][0].get<double>() == doctest::Approx(-0.5));
  // No step where the series takes over.
  const double at = -20.0 - std::log(16.0);
  CHECK(loss_of("dco", {{at - 1e-9}}, {{"n", 16}}) ==
        doctest::Approx(loss_of("dco", {{at + 1e-9}}, {{"n", 16}})).epsilon(1e-8));
}

TEST_CASE("emo on hidden states and a head: the authors' value and gradients") {
  const auto table = [](const Json& rows) {
    std::vector<float> values;
    for (const Json& row : rows) {
      for (const Json& x : row) values.push_back(x.get<float>());
    }
    return at::tensor(values).reshape({static_cast<int64_t>(rows.size()), -1});
  };
  for (const Json& item : read_json_file(test_file("objective/golden/emo.json"))) {
    const at::Tensor hidden = table(item["hidden"]).requires_grad_(),
                     head = table(item["head"]).requires_grad_();
    Targets targets;
    targets.token = at::tensor(item["target"].get<std::vector<int64_t>>(), at::kLong);
    targets.source = at::arange(hidden.size(0));
    targets.sequence = at::zeros({hidden.size(0)}, at::kLong);
    targets.sequences = 1;
    LogpOptions options;
    options.cosine = true;
    const LogpResult result = selective_logp(hidden, head.detach(), head, targets, options);
    SupervisedBatch batch;
    batch.logp = result.logp;
    batch.cosine = result.cosine;
    batch.sequence = targets.sequence;
    batch.sequences = 1;
    const at::Tensor loss = (*supervised_registry().find("emo")->make()->make())(batch).mean();
    CHECK(loss.item<double>() == doctest::Approx(item["loss"].get<double>()).epsilon(1e-5));
    const auto grads = torch::autograd::grad({loss}, {hidden, head});
    CHECK((grads[0] - table(item["grad_hidden"])).abs().max().item<double>() < 2e-6);
    CHECK((grads[1] - table(item["grad_head"])).abs().max().item<double>() < 2e-6);
  }
}

TEST_CASE("mml is content with one solution, and smoothing shares the gradient out") {
  const Json two = {{"sequences", {{{"logp", {-1.0}}, {"group", 4}}, {{"logp", {-9.0}}, {"group", 4}}}}};
  const auto grad = [&](const Json& set) {
    const Json g = evaluate_objective("mml", two, set)["grad"]["logp"];
    return std::make_pair(g[0][0].get<double>(), g[1][0].get<double>());
  };
  CHECK(grad({{"beta", 1}}).first < -0.999);
  CHECK(grad({{"beta", 0.01}}).second == doctest::Approx(-0.48).epsilon(0.01));
  const Json alone = {{"sequences", {{{"logp", {-1.0, -0.5}}, {"group", 0}}}}};
  CHECK(evaluate_objective("mml", alone, Json::object())["loss"].get<double>() == doctest::Approx(1.5));
}

TEST_CASE("a reward is what its loss needs, and what weighs its record") {
  const Json bare = {{"sequences", {{{"logp", {-0.5}}}}}};
  for (const char* name : {"unlikelihood", "rwr"}) {
    CHECK_THROWS_WITH_AS(evaluate_objective(name, bare, Json::object()),
                         doctest::Contains("\"reward\" is missing"), UserError);
    CHECK(objective_inputs(name, Json::object()) == std::vector<std::string>{"logp", "reward"});
  }
  CHECK(objective_inputs("nll", {{"label_smoothing", 0.1}}) == std::vector<std::string>{"logp", "mean_logp"});
  const Json two = {
      {"sequences", {{{"logp", {-0.5}}, {"reward", 700}}, {{"logp", {-2.0}}, {"reward", 699}}}}};
  // Weights cut off at 1000, and 1 and 1/e behind the best record.
  CHECK(evaluate_objective("rwr", two, Json::object())["grad"]["logp"][1][0] == doctest::Approx(-500));
  const Json best = evaluate_objective("rwr", two, {{"subtract_max", true}});
  CHECK(best["grad"]["logp"][0][0] == doctest::Approx(-0.5));
  CHECK(best["grad"]["logp"][1][0] == doctest::Approx(-0.5 / std::exp(1.0)));
  // Unlikelihood pushes down what cross entropy lifts.
  const Json pushed = evaluate_objective("unlikelihood", two, {{"threshold", 700}});
  CHECK(pushed["grad"]["logp"][0][0] == doctest::Approx(-0.5));
  CHECK(pushed["grad"]["logp"][1][0].get<double>() > 0);
}

TEST_CASE("rewards of segments: each token has its own") {
  // Two tokens of a good segment and one of a bad one are what records of these rewards are.
  for (const auto& [name, set] : {std::pair("unlikelihood", Json{{"alpha", 0.5}}),
                                  {"rwr", Json{{"beta", 0.5}}},
                                  {"rwr", Json{{"subtract_max", true}}},
                                  {"phf_awr", Json{{"beta", 2}}}}) {
    CAPTURE(name);
    const Json segments = {
        {"sequences",
         {{{"logp", {-0.5, -1.0, -2.0}}, {"value", {0.1, 0.2, 0.3}}, {"reward", {1.0, 1.0, -0.5}}},
          {{"logp", {-0.25}}, {"value", {0.4}}, {"reward", {0.75}}}}}};
    const Json records = {{"sequences",
                           {{{"logp", {-0.5, -1.0}}, {"value", {0.1, 0.2}}, {"reward", 1.0}},
                            {{"logp", {-2.0}}, {"value", {0.3}}, {"reward", -0.5}},
                            {{"logp", {-0.25}}, {"value", {0.4}}, {"reward", 0.75}}}}};
    const Json a = evaluate_objective(name, segments, set), b = evaluate_objective(name, records, set);
    CHECK(a["loss"].get<double>() == doctest::Approx(b["loss"].get<double>()).epsilon(1e-12));
    CHECK(a["grad"]["logp"][0][2] == b["grad"]["logp"][1][0]);
    CHECK(a["grad"]["logp"][0][2] != a["grad"]["logp"][0][1]);
  }
}

TEST_CASE("every supervised loss is finite at both ends and does not depend on the order") {
  for (const std::string& name : supervised_registry().names()) {
    CAPTURE(name);
    Json set = Json::object();
    if (name == "nll") set["label_smoothing"] = 0.1;
    auto options = supervised_registry().find(name)->make();
    read_fields(*options, set, "test", ".");
    const auto loss = options->make();
    for (const auto type : {at::kFloat, at::kDouble}) {
      const at::Tensor logp = at::tensor({0.0, -100.0, -1.0, -2000.0, -0.5}, type).requires_grad_();
      SupervisedBatch batch;
      batch.logp = logp;
      batch.sequence = at::tensor({0, 0, 2, 2, 3}, at::kLong);
      batch.sequences = 4;
      batch.mean_logp = at::full_like(logp, -8.0);
      batch.cosine = batch.value = at::full_like(logp, 0.5);
      batch.reward = at::tensor({-1.0, 0.0, 1000.0, -1000.0}, type);
      batch.token_reward = gather_sequence(batch.reward, batch.sequence);
      batch.group = at::tensor({0, 0, 1, 1}, at::kLong);
      batch.groups = 2;
      loss->prepare(batch.reward);
      const at::Tensor value = (*loss)(batch);
      CHECK(value.size(0) == (loss->unit() == SupervisedUnit::kGroup ? 2 : logp.size(0)));
      CHECK(value.isfinite().all().item<bool>());
      CHECK(torch::autograd::grad({value.sum()}, {logp})[0].isfinite().all().item<bool>());
    }
    const auto sequence = [](std::vector<double> logp, std::vector<double> mean, double reward) {
      return Json{{"logp", logp},  {"mean_logp", mean}, {"cosine", mean},
                  {"value", mean}, {"reward", reward},  {"group", reward > 0 ? 1 : 0}};
    };
    const auto of = [&](const Json& sequences) {
      return evaluate_objective(name, {{"sequences", sequences}}, set)["loss"].get<double>();
    };
    const Json first = sequence({-0.5, -1.2}, {-5, -6}, 0.5), turned = sequence({-1.2, -0.5}, {-6, -5}, 0.5);
    const Json second = sequence({-3.0}, {-7}, -0.25);
    CHECK(of({first, second}) == doctest::Approx(of({second, turned})).epsilon(1e-12));
  }
}

TEST_CASE("unlikelihood says when all rewards lie on one side of its threshold") {
  const auto warning = [](const std::vector<double>& rewards, const Json& set) {
    Json config = set;
    auto options = supervised_registry().find("unlikelihood")->make();
    read_fields(*options, config, "loss", "");
    return options->make()->warning(at::tensor(rewards, at::kDouble));
  };
  CHECK(warning({0, 1, 1}, Json::object()).empty());
  CHECK(warning({-1, 1}, Json::object()).empty());
  CHECK(warning({0, 1, 1}, {{"threshold", 0}}).find("at or above the threshold 0: every record is learnt") !=
        std::string::npos);
  CHECK(warning({0, 0.25}, Json::object()).find("below the threshold 0.5: every record is made unlikely") !=
        std::string::npos);
}

}  // namespace temper::objective
