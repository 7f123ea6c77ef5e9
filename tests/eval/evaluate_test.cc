#include "eval/evaluate.h"

#include "base/error.h"
#include "base/json.h"
#include "test.h"

using namespace temper;

namespace {

struct Config : Fields {
  std::vector<RewardEntry> rewards;
  void fields(FieldVisitor& v) override { v.list("rewards", rewards, "the rewards"); }
};

RewardSet reward_set(const std::string& text) {
  Config config;
  read_fields(config, parse_json("{\"rewards\": " + text + "}", "c"), "c", "");
  return RewardSet(config.rewards);
}

const char* kMath = R"([{"kind": "math"}])";

Completion said(const std::string& text, FinishReason finish = FinishReason::kEnd) {
  Completion c;
  c.text = text;
  c.raw_text = text + "<end>";
  c.ids.assign(text.size() + 1, 1);
  c.finish = finish;
  return c;
}

// Two prompts that want 5, one whose reference cannot be read.
struct Fixture {
  Json five = {{"answer", 5}}, none = {{"answer", ""}};
  std::vector<EvalPrompt> prompts = {{{1}, "2 + 3", &five}, {{2}, "1 + 4", &five}, {{3}, "?", &none}};
  std::vector<std::vector<Completion>> completions = {
      {said("5"), said("6"), said("6"), said("5.0")},
      {said("7"), said("8"), said("8", FinishReason::kLength), said("")},
      {said("5"), said("5"), said("5"), said("5")}};
};

}  // namespace

TEST_CASE("evaluate: figures of completions") {
  Fixture f;
  RewardSet rewards = reward_set(kMath);
  EvalOptions options;
  options.samples = 4;
  const EvalResult r = score_completions(f.prompts, f.completions, rewards, options);
  CHECK(r.prompts == 3);
  CHECK(r.nulls == 4);
  CHECK(r.samples.size() == 12);
  REQUIRE(r.find("accuracy"));
  CHECK(r.find("accuracy")->value == doctest::Approx(0.25));  // 1/2 and 0; the third prompt cannot be judged
  CHECK(r.find("accuracy")->count == 2);
  CHECK(r.find("pass@2")->value == doctest::Approx((1 - 1.0 / 6) / 2));
  CHECK(r.find("pass@4")->value == doctest::Approx(0.5));
  CHECK(r.find("maj@4")->value == doctest::Approx(0.5));  // 5 5 6 6: the tie goes to the first
  CHECK(r.find("maj@2")->value == doctest::Approx(0.25));
  CHECK(r.find("g_pass@4_0.5")->value == doctest::Approx(0.5));
  CHECK(r.find("g_pass@4_1")->value == 0.0);
  CHECK(r.find("mg_pass@4")->value == 0.0);
  CHECK(r.find("pass@1") == nullptr);
  CHECK(r.find("reward")->value == doctest::Approx(0.25));
  CHECK(r.find("reward/math")->count == 2);
  CHECK(r.find("truncated")->value == doctest::Approx(1.0 / 12));
  CHECK(r.find("length")->count == 3);
  CHECK(r.samples[3].answer == "5");
  CHECK(r.samples[3].correct == true);
  CHECK(r.samples[3].completion.text == "5.0");
  CHECK_FALSE(r.samples[7].answer.has_value());
  CHECK(r.samples[7].correct == false);
  CHECK_FALSE(r.samples[8].correct.has_value());

  const Json json = r.to_json();
  CHECK(json["figures"]["accuracy"]["value"] == doctest::Approx(0.25));
  CHECK(json["figures"]["accuracy"]["prompts"] == 2);
  CHECK(json["samples"] == 12);
  const Json row = r.sample_json(r.samples[6], f.prompts);
  CHECK(row["prompt"] == "1 + 4");
  CHECK(row["sample"] == 2);
  CHECK(row["finish"] == "length");
  CHECK(row["correct"] == false);
  CHECK(row["rewards"]["math"] == 0.0);
  CHECK(row["columns"]["answer"] == 5);
  CHECK(r.sample_json(r.samples[8], f.prompts)["total"].is_null());
}

TEST_CASE("evaluate: one sample a prompt gives the accuracy with its Beta interval") {
  Fixture f;
  for (auto& samples : f.completions) samples.resize(1);
  RewardSet rewards = reward_set(kMath);
  const EvalResult r = score_completions(f.prompts, f.completions, rewards, {});
  CHECK(r.find("accuracy")->value == 0.5);
  CHECK(r.find("accuracy")->interval.low == doctest::Approx(beta_interval(1, 1).low));
  CHECK(r.find("pass@2") == nullptr);
  CHECK(score_completions({}, {}, rewards, {}).figures.empty());
}

TEST_CASE("evaluate: which reward says what is correct") {
  Fixture f;
  EvalOptions options;
  options.samples = 4;
  const char* both = R"([{"kind": "contains", "texts": ["6"], "weight": 0.4}, {"kind": "math"}])";
  RewardSet rewards = reward_set(both);
  CHECK(score_completions(f.prompts, f.completions, rewards, options).find("accuracy")->value ==
        doctest::Approx(0.25));
  options.correct_by = "contains";
  CHECK(score_completions(f.prompts, f.completions, rewards, options).find("accuracy")->value ==
        doctest::Approx(1.0 / 6));
  options.correct_by = "exact";
  CHECK_THROWS_WITH_AS(score_completions(f.prompts, f.completions, rewards, options),
                       doctest::Contains("there are: contains, math"), UserError);
  RewardSet total = reward_set(R"([{"kind": "contains", "texts": ["6"], "weight": 0.4}])");
  options.correct_by = "";
  CHECK(score_completions(f.prompts, f.completions, total, options).find("accuracy")->value ==
        0.0);  // 0.4 is not above 0.5
  CHECK(score_completions(f.prompts, f.completions, total, options).find("maj@2") == nullptr);
}

TEST_CASE("evaluate: options that fit nothing") {
  Fixture f;
  RewardSet rewards = reward_set(kMath);
  EvalOptions options;
  options.samples = 4;
  options.k = {8};
  CHECK_THROWS_WITH_AS(score_completions(f.prompts, f.completions, rewards, options),
                       doctest::Contains("expected 1 to 4"), UserError);
  options.k = {3, 1, 3};
  const EvalResult r = score_completions(f.prompts, f.completions, rewards, options);
  CHECK(r.find("pass@3") != nullptr);
  CHECK(r.find("pass@2") == nullptr);
}
