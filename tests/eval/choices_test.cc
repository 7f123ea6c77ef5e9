// Multiple choice by log-prob. The golden is scripts/oracles/choices.py's.
#include "eval/choices.h"

#include <cmath>

#include "base/error.h"
#include "base/json.h"
#include "data/benchmarks.h"
#include "rollout/letters.h"
#include "test.h"

using namespace temper;

namespace {

// A token a byte, as the oracle has it.
struct Bytes : Letters {
  std::vector<int64_t> encode(std::string_view text, const EncodeOptions&) const override {
    std::vector<int64_t> out;
    for (const char c : text) out.push_back(8 + static_cast<unsigned char>(c) % 112);
    return out;
  }
};

std::unique_ptr<Model> golden_model() {
  return Model::load(test_file("model/golden/llama3"), Precision{at::kFloat, at::kCPU});
}

Record record_of(const Json& json) {
  return {json, "questions.jsonl", 1};
}

}  // namespace

TEST_CASE("choices: log-probs and picks are those of transformers by the harness's rules") {
  const Json golden = read_json_file(test_file("eval/golden/choices.json"));
  const auto model = golden_model();
  const Bytes tokenizer;
  const RecordEncoder encoder(tokenizer, nullptr, {.max_tokens = 256, .overlong = "error", .add_eos = false});
  std::vector<Record> records;
  for (const Json& row : golden) records.push_back(record_of(row["record"]));
  ChoiceOptions options;
  options.letters = true;
  for (const int64_t pass_tokens : {1, 4096}) {  // a question a pass, and all in one
    const auto scores = score_choices(*model, encoder, records, options, pass_tokens);
    REQUIRE(scores.size() == golden.size());
    for (size_t i = 0; i < scores.size(); ++i) {
      CAPTURE(golden[i]["record"].dump());
      for (size_t c = 0; c < scores[i].size(); ++c) {
        CHECK(scores[i][c].logp == doctest::Approx(golden[i]["logp"][c].get<double>()).epsilon(2e-5));
        CHECK(scores[i][c].prior == doctest::Approx(golden[i]["prior"][c].get<double>()).epsilon(2e-5));
        CHECK(scores[i][c].letter == doctest::Approx(golden[i]["letter"][c].get<double>()).epsilon(2e-5));
        CHECK(scores[i][c].tokens == golden[i]["tokens"][c]);
      }
      for (const std::string& measure : choice_measures(options)) {
        CAPTURE(measure);
        CHECK(picked(scores[i], measure) == golden[i]["picked"][measure].get<size_t>());
      }
    }
  }
}

TEST_CASE("choices: an evaluation of them") {
  const std::vector<Record> records = {
      record_of({{"prompt", "p"}, {"choices", {"one", "three"}}, {"answer", "B"}}),
      record_of({{"prompt", "q"}, {"choices", {"one", "three"}}, {"answer", 0}})};
  const ChoiceScore short_one{-3, -3, 0, 1, 3, 3}, long_one{-4, -5, 0, 2, 5, 5};
  ChoiceOptions options;
  const EvalResult result = choice_result(records, {{short_one, long_one}, {short_one, long_one}}, options);
  CHECK(result.samples[0].correct == false);  // the short one is likelier
  CHECK(result.samples[1].correct == true);
  CHECK(result.samples[0].answer == "A");
  CHECK(result.samples[0].completion.text == "one");
  const auto figures = choice_figures(result, {0}, 0.95);
  REQUIRE(figures.size() == 5);
  CHECK(figures[0].name == "acc");
  CHECK(figures[0].value == 0.0);
  CHECK(figures[1].name == "acc_norm");
  CHECK(figures[1].value == 1.0);  // -4/5 > -3/3
  CHECK(figures[4].name == "acc_mutual_info");
  CHECK(figures[4].value == 1.0);  // -4 + 5 > -3 + 3
  CHECK(figures[0].interval.high == doctest::Approx(beta_interval(0, 1).high));
  CHECK(picked({short_one, short_one}, "acc") == 0);  // the first of equal ones
}

TEST_CASE("choices: records that are none") {
  const auto error = [](const Json& json) {
    try {
      choice_question(record_of(json));
    } catch (const UserError& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  CHECK(error({{"prompt", "p"}, {"choices", {"a", "b"}}, {"answer", 1}}).empty());
  CHECK(error({{"prompt", "p"}, {"choices", {"a", "b"}}, {"answer", "b"}}).empty());
  CHECK(choice_question(record_of({{"prompt", "p"}, {"choices", {"B", "A"}}, {"answer", "A"}})).right ==
        1);  // words first
  CHECK(error({{"prompt", "p"}}).find("questions.jsonl:1: expected a question") == 0);
  CHECK(error({{"prompt", "p"}, {"choices", {"a"}}, {"answer", 0}}).find("2 to 26") != std::string::npos);
  CHECK(error({{"prompt", "p"}, {"choices", {"a", ""}}, {"answer", 0}}).find("2 to 26") != std::string::npos);
  CHECK(error({{"prompt", "p"}, {"choices", {"a", "b"}}, {"answer", 2}}).find("found 2") !=
        std::string::npos);
  CHECK(error({{"prompt", "p"}, {"choices", {"a", "b"}}, {"answer", -1}}).find("found -1") !=
        std::string::npos);
  CHECK(error({{"prompt", "p"}, {"choices", {"a", "b"}}}).find("found none") != std::string::npos);
  const auto model = golden_model();
  const Bytes tokenizer;
  const RecordEncoder encoder(tokenizer, nullptr, {.max_tokens = 10, .overlong = "error"});
  const std::vector<Record> records = {
      record_of({{"prompt", "a prompt"}, {"choices", {"a", "too long"}}, {"answer", 0}})};
  CHECK_THROWS_AS(score_choices(*model, encoder, records, {}, 100), UserError);
}
