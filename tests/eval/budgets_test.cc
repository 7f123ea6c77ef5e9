#include "eval/budgets.h"

#include "base/file.h"
#include "base/json.h"
#include "test.h"

using namespace temper;

namespace {

// Two samples of each prompt; right: of each sample, none: could not be judged.
EvalResult judged(const std::vector<std::vector<std::optional<bool>>>& right) {
  EvalResult out;
  out.prompts = static_cast<int64_t>(right.size());
  double sum = 0, prompts = 0;
  for (size_t p = 0; p < right.size(); ++p) {
    double correct = 0, count = 0;
    for (size_t s = 0; s < right[p].size(); ++s) {
      EvalSample sample{static_cast<int64_t>(p), static_cast<int64_t>(s), {}, {}, right[p][s], {}};
      out.samples.push_back(std::move(sample));
      if (!right[p][s]) continue;
      correct += *right[p][s] ? 1 : 0;
      count += 1;
    }
    if (count == 0) continue;
    sum += correct / count, prompts += 1;
  }
  out.figures = {{"accuracy", sum / prompts, {0, 1}, static_cast<int64_t>(prompts)}};
  out.nulls = 1, out.tokens = 100;
  return out;
}

}  // namespace

TEST_CASE("regret over budgets equals the authors' form") {
  const Json cases = read_json_file(test_file("eval/golden/regret.json"));
  REQUIRE(cases.size() == 20);
  for (const Json& c : cases) {
    const std::vector<double> expected = c["regret"];
    const std::vector<double> got = cumulative_regret(c["budgets"], c["shares"]);
    REQUIRE(got.size() == expected.size());
    for (size_t i = 0; i < got.size(); ++i) CHECK(got[i] == doctest::Approx(expected[i]).epsilon(1e-12));
  }
  // Right from the first budget on, and never.
  CHECK(cumulative_regret({10, 20}, {1, 1}) == std::vector<double>{0.5, 0.25});
  CHECK(cumulative_regret({10, 20}, {0, 0}) == std::vector<double>{1, 1});
}

TEST_CASE("evaluations with several budgets become one") {
  CHECK(sorted_budgets({64, 16, 64, 32}) == std::vector<int64_t>{16, 32, 64});
  const std::vector<EvalResult> results = {
      judged({{false, false}, {true, false}, {std::nullopt, std::nullopt}}),
      judged({{true, false}, {true, true}, {true, true}}),
  };
  const BudgetedResult r = over_budgets({10, 20}, results, 0.95);
  const Json figures = r.to_json()["figures"];
  CHECK(figures["accuracy@10"]["value"] == doctest::Approx(0.25));
  CHECK(figures["accuracy@20"]["value"] == doctest::Approx(2.5 / 3));
  // Of the two prompts that were judged at both budgets: areas (0, 1/8 + 1/4) and (1/4, ...).
  CHECK(figures["regret@10"]["value"] == doctest::Approx(1 - (0 + 0.25) / 2));
  CHECK(figures["regret@20"]["value"] ==
        doctest::Approx(1 - ((0 + 10 * 0.25) / 20 + (10 * 0.25 + 10 * 0.75) / 20) / 2));
  CHECK(figures["regret@20"]["prompts"] == 2);
  CHECK_FALSE(figures.contains("length@10"));  // nobody counted it
  CHECK(r.to_json()["samples"] == 12);
  CHECK(r.to_json()["tokens"] == 200);
}
