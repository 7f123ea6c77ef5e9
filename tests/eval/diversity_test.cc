#include "eval/diversity.h"

#include <ATen/ATen.h>

#include "base/json.h"
#include "eval/evaluate.h"
#include "test.h"

using namespace temper;

namespace {

using Texts = std::vector<std::vector<int64_t>>;

}  // namespace

TEST_CASE("diversity: distinct and vendi equal the form in float64") {
  const Json cases = read_json_file(test_file("eval/golden/vendi.json"));
  REQUIRE(cases.size() == 18);
  for (const Json& c : cases) {
    const auto texts = c["texts"].get<Texts>();
    CAPTURE(dump_line(c["texts"]));
    CHECK(distinct_share(texts) == doctest::Approx(c["distinct"].get<double>()).epsilon(1e-15));
    // A kernel of equal texts has eigenvalues of 0, whose rounding counts more than that of others.
    CHECK(vendi_score(texts) == doctest::Approx(c["vendi"].get<double>()).epsilon(1e-11));
  }
}

TEST_CASE("diversity: what must come out") {
  const Texts same(5, {7, 8, 9}), apart = {{1, 2}, {3, 4, 3}, {5}, {6, 6, 6, 6}}, empty(3);
  CHECK(vendi_score(same) == doctest::Approx(1));
  CHECK(distinct_share(same) == doctest::Approx(0.2));
  CHECK(vendi_score(apart) == doctest::Approx(4));
  CHECK(distinct_share(apart) == 1);
  CHECK(vendi_score(empty) == doctest::Approx(1));
  CHECK(vendi_score({{}, {1}}) == doctest::Approx(2));
  CHECK(vendi_score({{4}}) == doctest::Approx(1));
  // Two halves that have nothing in common, and each is one text.
  CHECK(vendi_score({{1, 2}, {1, 2}, {3}, {3}}) == doctest::Approx(2));
  // The order of tokens counts, by the pairs alone: two of three counts are in common.
  CHECK(ngram_similarities({{1, 2}, {2, 1}})[0][1].item<double>() == doctest::Approx(2.0 / 3));
}

TEST_CASE("diversity: of a conversation the policy's tokens alone") {
  CHECK(own_tokens({1, 2, 3, 4, 5}, {{0, 2}, {3, 4}}) == std::vector<int64_t>{1, 2, 4});
  CHECK(own_tokens({1, 2}, {}) == std::vector<int64_t>{1, 2});
}

TEST_CASE("diversity: figures of an evaluation, where they are asked for") {
  struct Config : Fields {
    std::vector<RewardEntry> rewards;
    void fields(FieldVisitor& v) override { v.list("rewards", rewards, "the rewards"); }
  } config;
  read_fields(config, parse_json(R"({"rewards": [{"kind": "contains", "texts": ["a"]}]})", "c"), "c", "");
  RewardSet rewards(config.rewards);
  const auto said = [](const std::vector<int64_t>& ids) {
    Completion c;
    c.ids = ids;
    return c;
  };
  const Json columns = Json::object();
  const std::vector<EvalPrompt> prompts = {{{1}, "p", &columns}, {{2}, "q", &columns}};
  const std::vector<std::vector<Completion>> completions = {{said({1, 2}), said({1, 2})},
                                                            {said({1}), said({2})}};
  EvalOptions options;
  options.samples = 2;
  CHECK(score_completions(prompts, completions, rewards, options).find("vendi") == nullptr);
  options.diversity = true;
  const EvalResult result = score_completions(prompts, completions, rewards, options);
  REQUIRE(result.find("vendi") != nullptr);
  CHECK(result.find("vendi")->value == doctest::Approx(1.5));
  CHECK(result.find("vendi")->count == 2);
  CHECK(result.find("distinct")->value == doctest::Approx(0.75));
}
