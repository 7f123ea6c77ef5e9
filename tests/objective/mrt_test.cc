// MRT's bonus for progress and its baseline.
#include <ATen/ATen.h>

#include <limits>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "objective/inspect.h"
#include "objective/policy/policy.h"
#include "test.h"

using namespace temper;
using namespace temper::objective;

namespace {

constexpr double kNull = std::numeric_limits<double>::quiet_NaN();

at::Tensor column(const Json& responses, const char* name) {
  std::vector<double> out;
  for (const Json& r : responses) out.push_back(r[name].is_null() ? kNull : r[name].get<double>());
  return at::tensor(out, at::kDouble);
}

double gap(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

}  // namespace

TEST_CASE("mrt: bonus, advantages and baseline equal the oracle's in float64") {
  const Json cases = read_json_file(test_file("objective/golden/mrt.json"));
  REQUIRE(cases.size() == 8);
  for (const Json& c : cases) {
    const Json& responses = c["responses"];
    StepRewards step;
    step.reward = column(responses, "reward");
    step.group = column(responses, "group").to(at::kLong);
    step.ended = column(responses, "ended");
    const at::Tensor bonus = progress_bonus(step.reward, step.group, step.ended, c["alpha"]);
    CHECK(gap(bonus, column(responses, "bonus")) < 1e-14);
    const auto mrt = policy_registry().find("mrt")->make();
    mrt->advantage = "ended_baseline";
    CHECK(gap(advantages(*mrt, step), column(responses, "ended_baseline")) < 1e-14);
    step.reward = step.reward + bonus;
    mrt->advantage = "group_zscore";
    CHECK(gap(advantages(*mrt, step), column(responses, "zscore")) < 1e-12);
  }
}

TEST_CASE("mrt: what it needs, and that the inspector adds the bonus") {
  const auto mrt = policy_registry().find("mrt")->make();
  CHECK(need_names(mrt->needs()) == std::vector<std::string>{"logp_old", "ended"});
  mrt->progress_bonus = 0;
  CHECK_FALSE(mrt->needs().ended);
  mrt->advantage = "ended_baseline";
  CHECK(mrt->needs().ended);
  // Two that ended with a mean of 1/2, two that went on and are right: 1 + 1/2 each.
  const Json input = Json::parse(R"({"sequences": [
    {"logp": [-1.0], "logp_old": [-1.0], "reward": 0, "group": 0, "ended": 1},
    {"logp": [-1.0], "logp_old": [-1.0], "reward": 1, "group": 0, "ended": 1},
    {"logp": [-1.0], "logp_old": [-1.0], "reward": 1, "group": 0, "ended": 0},
    {"logp": [-1.0], "logp_old": [-1.0], "reward": 1, "group": 0, "ended": 0}]})");
  const Json out = evaluate_objective("mrt", input, {{"advantage", "group_center"}});
  const std::vector<double> advantage = {-1, 0, 0.5, 0.5};
  for (size_t i = 0; i < 4; ++i)
    CHECK(out["grad"]["logp"][i][0].get<double>() == doctest::Approx(-advantage[i] / 4));
  Json without = input;
  without["sequences"][2].erase("ended");
  CHECK_THROWS_WITH_AS(evaluate_objective("mrt", without, Json::object()),
                       doctest::Contains("\"ended\" is missing"), UserError);
  mrt->progress_bonus = 1;
  std::vector<std::string> problems;
  mrt->advantage = "gae";
  mrt->check(problems, "algorithm");
  REQUIRE(problems.size() == 1);
  CHECK(problems[0].find("algorithm.progress_bonus: advantage gae") == 0);
}
