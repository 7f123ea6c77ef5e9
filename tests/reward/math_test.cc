#include "reward/math.h"

#include <fstream>

#include "base/error.h"
#include "base/json.h"
#include "reward/reward.h"
#include "test.h"

using namespace temper;

namespace {

std::optional<double> math_score(const MathOptions& options, const std::string& completion,
                                 const Json& columns) {
  RewardItem item;
  item.completion = completion;
  item.columns = &columns;
  return options.make()->score({item}).at(0).value;
}

}  // namespace

TEST_CASE("answers: the goldens of scripts/oracles/rewards.py") {
  std::ifstream in(test_file("reward/golden/math.jsonl"));
  std::string line;
  int rows = 0;
  while (std::getline(in, line)) {
    const Json row = Json::parse(line);
    CAPTURE(line);
    MathOptions options;
    options.answer_in = row["answer_in"];
    const auto score = math_score(options, row["completion"], {{"answer", row["reference"]}});
    const Json verdict = score ? Json(*score == 1.0) : Json(nullptr);
    CHECK(verdict == row["verdict"]);
    ++rows;
  }
  CHECK(rows > 1000);
}

TEST_CASE("numbers: a decimal is a fraction within the tolerance, and never another integer or decimal") {
  MathOptions options;
  const auto score = [&](const char* text, const char* reference) {
    return math_score(options, std::string("\\boxed{") + text + "}", {{"answer", reference}});
  };
  CHECK(score("0.0833333333333333", "\\frac{1}{12}") == 1.0);
  CHECK(score("0.333333", "1/3") == 1.0);
  CHECK(score("-0.333333", "1/3") == 0.0);
  CHECK(score("1/3", "0.333333") == 1.0);
  CHECK(score("0.33333", "1/3") == 0.0);
  CHECK(score("0.999999999", "1") == 0.0);
  CHECK(score("1000000.1", "1000000") == 0.0);
  CHECK(score("0.3333331", "0.333333") == 0.0);
  CHECK(score("0.\\overline{3}", "1/3") == 1.0);
  CHECK(score("1000,99", "1000.99") == 1.0);
  CHECK(score("1000,990", "1000.99") == 0.0);
  options.tolerance = 0;
  CHECK(score("0.333333", "1/3") == 0.0);
  options.tolerance = 0.01;
  CHECK(score("0.33", "1/3") == 1.0);
}

TEST_CASE("answers: what only restates the question can be refused") {
  MathOptions options;
  const Json reference = {{"answer", 36}};
  for (const char* text : {"\\boxed{4*9}", "\\boxed{72/2}", "\\boxed{6^2}", "\\boxed{\\frac{72}{2}}"}) {
    CAPTURE(text);
    options.worked_out = false;
    CHECK(math_score(options, text, reference) == 1.0);
    options.worked_out = true;
    CHECK(math_score(options, text, reference) == 0.0);
  }
  for (const char* text : {"\\boxed{36}", "\\boxed{36.0}", "\\boxed{3.6 \\times 10^1}", "\\boxed{3.6e1}"}) {
    CAPTURE(text);
    CHECK(math_score(options, text, reference) == 1.0);
  }
  CHECK(math_score(options, "\\boxed{3/4}", {{"answer", 0.75}}) == 1.0);
  CHECK(math_score(options, "\\boxed{\\frac{6}{8}}", {{"answer", 0.75}}) == 0.0);
  CHECK(math_score(options, "\\boxed{1\\frac{3}{4}}", {{"answer", 1.75}}) == 1.0);
}

TEST_CASE("answers: strict wants the number alone at a mark") {
  MathOptions options;
  options.strict = true;
  const Json reference = {{"answer", 72}};
  CHECK(math_score(options, "so it is 72", reference) == 0.0);
  CHECK(math_score(options, "#### 72", reference) == 1.0);
  CHECK(math_score(options, "#### 72 apples", reference) == 1.0);
  CHECK(math_score(options, "#### it must be 72", reference) == 0.0);
  CHECK(math_score(options, "The answer is 72", reference) == 1.0);
  options.strict = false;
  options.answer_in = "boxed";
  CHECK(math_score(options, "#### 72", reference) == 0.0);
}

TEST_CASE("answers: references come as numbers, texts, arrays and nested columns") {
  MathOptions options;
  CHECK(math_score(options, "72", {{"answer", 72}}) == 1.0);
  CHECK(math_score(options, "0.1", {{"answer", 0.1}}) == 1.0);
  CHECK(math_score(options, "72", {{"answer", {"71", "72"}}}) == 1.0);
  CHECK(math_score(options, "72", {{"answer", {"no number", "71"}}}) == 0.0);
  CHECK(math_score(options, "72", {{"answer", "no number"}}) == 0.0);
  CHECK_FALSE(math_score(options, "72", {{"answer", " "}}).has_value());
  CHECK_FALSE(math_score(options, "72", {{"answer", std::string(300, 'a')}}).has_value());
  options.column = "reward_model.ground_truth";
  CHECK(math_score(options, "72", {{"reward_model", {{"ground_truth", "72"}}}}) == 1.0);
  CHECK(math_score(options, "72", {{"reward_model.ground_truth", "72"}}) == 1.0);
  CHECK_THROWS_WITH_AS(
      math_score(options, "72", {{"answer", 72}, {"level", 1}}),
      doctest::Contains("no column \"reward_model.ground_truth\"; the record has: answer, level"), UserError);
  options.column = "answer";
  CHECK_THROWS_WITH_AS(math_score(options, "72", {{"answer", Json::object()}}),
                       doctest::Contains("expected a string or a number"), UserError);
  options.correct = 2;
  options.incorrect = -1;
  CHECK(math_score(options, "72", {{"answer", 72}}) == 2.0);
  CHECK(math_score(options, "71", {{"answer", 72}}) == -1.0);
}

TEST_CASE("answers: equal answers are spelled alike for votes") {
  const auto reward = MathOptions().make();
  const auto vote = [&](const std::string& text) {
    RewardItem item;
    item.completion = text;
    return reward->answer(item).value_or("none");
  };
  CHECK(vote("\\boxed{0.50}") == vote("#### 2/4"));
  CHECK(vote("50%") == vote("50"));
  CHECK(vote("3 million") == vote("3,000,000"));
  CHECK(vote("3") != vote("4"));
  CHECK(vote("who knows") == "none");
}
