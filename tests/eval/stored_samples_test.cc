#include "eval/stored_samples.h"

#include "base/error.h"
#include "base/json.h"
#include "eval/compare_samples.h"
#include "eval/figures.h"
#include "eval/further.h"
#include "temp_folder.h"
#include "test.h"

using namespace temper;

namespace {

// Samples of an evaluation without a model: of each prompt the words "5" (right) or "6" (wrong), and what a
// second reward says of them.
struct Drawn {
  Drawn(const std::vector<std::string>& prompts,
        const std::string& second = R"({"kind": "contains", "texts": ["6"]})") {
    struct Config : Fields {
      std::vector<RewardEntry> rewards;
      void fields(FieldVisitor& v) override { v.list("rewards", rewards, "the rewards"); }
    } config;
    read_fields(config, parse_json(R"({"rewards": [{"kind": "math"}, )" + second + "]}", "c"), "c", "");
    rewards = std::make_unique<RewardSet>(config.rewards);
    for (size_t p = 0; p < prompts.size(); ++p) {
      columns.push_back({{"answer", "5"}, {"level", p % 2 == 0 ? "Level 2" : "Level 10"}, {"id", p}});
      completions.emplace_back();
      for (const char c : prompts[p]) {
        Completion done;
        done.text = done.raw_text = std::string(1, c);
        done.ids = {c, 1};
        done.turns = {{0, 2, FinishReason::kEnd}};
        done.finish = FinishReason::kEnd;
        completions.back().push_back(done);
      }
    }
    for (size_t p = 0; p < prompts.size(); ++p)
      asked.push_back({{1}, "prompt " + std::to_string(p), &columns[p]});
    options.samples = static_cast<int64_t>(prompts.front().size());
  }
  EvalResult result() { return score_completions(asked, completions, *rewards, options); }
  std::string lines(bool ids = false) {
    const EvalResult r = result();
    std::string out;
    for (const EvalSample& s : r.samples) out += dump_line(r.sample_json(s, asked, ids)) + "\n";
    return out;
  }
  std::unique_ptr<RewardSet> rewards;
  std::vector<Json> columns;
  std::vector<EvalPrompt> asked;
  std::vector<std::vector<Completion>> completions;
  EvalOptions options;
};

StoredSamples stored(const TempFolder& folder, const std::string& text) {
  return stored_samples(read_records({folder.write("samples.jsonl", text)}));
}

}  // namespace

TEST_CASE("stored samples: the figures are those of the evaluation that wrote them") {
  Drawn drawn({"5566", "6666", "5556"});
  drawn.options.diversity = true;
  drawn.options.tau = {0.25, 1.0};
  drawn.options.by = {"level"};
  drawn.options.verifier = "contains";
  drawn.options.extrapolate = {16};
  TempFolder folder;
  StoredSamples read = stored(folder, drawn.lines(true));
  CHECK(read.samples() == 4);
  CHECK(read.prompts.size() == 3);
  CHECK(read.has_ids);
  CHECK(read.judged);
  measure_stored(read, drawn.options);
  const Json expected = drawn.result().to_json();
  CHECK(read.result.to_json().dump(1) == expected.dump(1));
  CHECK(expected["by"]["level"].begin().key() == "Level 2");  // before "Level 10"
  CHECK(expected["by"]["level"]["Level 10"]["prompts"] == 1);
  CHECK(expected["by"]["level"]["Level 10"]["figures"]["accuracy"]["value"] == 0.0);
  CHECK(expected["figures"].contains("g_pass@2_0.25"));
  CHECK(expected["figures"].contains("g_pass@4_1"));
  CHECK(expected["extrapolated"]["figures"].contains("pass@16"));
  CHECK(expected["verifier"]["false_positive_rate"]["value"] == 1.0);  // it passes the wrong ones alone
  CHECK(expected["verifier"]["best"]["k"] == 0);
  CHECK(expected["verifier"]["curve"].size() == 4);

  // In any order of lines, and judged by another reward.
  std::string turned;
  const std::string text = drawn.lines(true);
  for (size_t end = text.size() - 1;;) {
    const size_t begin = text.rfind('\n', end - 1);
    turned += text.substr(begin + 1, end - begin);
    if (begin == std::string::npos) break;
    end = begin;
  }
  StoredSamples again = stored(folder, turned);
  EvalOptions plain;
  measure_stored(again, plain);
  CHECK(again.result.find("accuracy")->value == doctest::Approx(5.0 / 12));
  CHECK(again.result.find("maj@4")->value == doctest::Approx(2.0 / 3));
  plain.correct_by = "contains";
  measure_stored(again, plain);
  CHECK(again.result.find("accuracy")->value == doctest::Approx(7.0 / 12));
  rescore_stored(again, *drawn.rewards, {});
  CHECK(again.result.find("accuracy")->value == doctest::Approx(5.0 / 12));
}

TEST_CASE("stored samples: prompts that are equal, nulls, and scored answers of temper-generate") {
  TempFolder folder;
  const std::string line =
      R"({"prompt":"p","sample":0,"completion":"a","finish":"length","tokens":3,"correct":null,"answer":null,"total":null,"rewards":{"x":null},"columns":{"prompt":"p"}})";
  StoredSamples twice = stored(folder, line + "\n" + line + "\n");
  CHECK(twice.prompts.size() == 2);
  measure_stored(twice, {});
  CHECK(twice.result.nulls == 2);
  CHECK(twice.result.find("accuracy") == nullptr);
  CHECK(twice.result.find("reward") == nullptr);
  CHECK(twice.result.find("truncated")->value == 1.0);
  EvalOptions beyond;
  beyond.extrapolate = {8};
  CHECK_THROWS_WITH_AS(measure_stored(twice, beyond), doctest::Contains("too few to fit"), UserError);

  StoredSamples answers =
      stored(folder,
             "{\"prompt\":\"p\",\"completion\":\"a\",\"reward\":1,\"rewards\":{\"math\":1}}\n"
             "{\"prompt\":\"p\",\"completion\":\"b\",\"reward\":0.25}\n"
             "{\"prompt\":\"q\",\"completions\":[\"c\",\"d\"],\"rewards\":[0,null],\"finish\":[\"end\","
             "\"length\"]}\n");
  CHECK(answers.prompts.size() == 2);
  CHECK(answers.samples() == 2);
  CHECK_FALSE(answers.judged);
  measure_stored(answers, {});
  CHECK(answers.result.find("accuracy")->value == doctest::Approx(0.25));  // 1/2 and 0 of one
  CHECK(answers.result.find("reward/math")->count == 1);
  CHECK(answers.result.nulls == 1);
}

TEST_CASE("stored samples: what environments counted, and answers without rewards") {
  TempFolder folder;
  StoredSamples talks = stored(
      folder,
      R"({"prompt":"p","sample":0,"completion":"a","total":1,"messages":[],"environment":{"calls":3,"none":null}})");
  measure_stored(talks, {});
  REQUIRE(talks.result.find("environment/calls"));
  CHECK(talks.result.find("environment/calls")->value == 3);
  CHECK(talks.result.find("environment/none") == nullptr);
  StoredSamples bare = stored(folder, R"({"prompt":"p","completion":"5","answer":"5"})");
  CHECK_THROWS_WITH_AS(measure_stored(bare, {}), doctest::Contains("no \"reward\""), UserError);
  Drawn drawn({"5"});
  rescore_stored(bare, *drawn.rewards, {});
  CHECK(bare.result.find("accuracy")->value == 1.0);
}

TEST_CASE("stored samples: lines that are none") {
  TempFolder folder;
  const auto error = [&](const std::string& text) {
    try {
      StoredSamples read = stored(folder, text + "\n");
      measure_stored(read, {});
    } catch (const UserError& e) {
      CHECK(std::string(e.what()).find('\n') == std::string::npos);
      return std::string(e.what());
    }
    return std::string();
  };
  const auto has = [](const std::string& text, const std::string& part) {
    CAPTURE(text);
    CHECK(text.find(part) != std::string::npos);
  };
  has(error(R"({"prompt":"p"})"), "samples.jsonl:1: \"completion\": expected a text, found none");
  has(error(R"({"completion":"p"})"), "\"prompt\": expected a text, found none");
  has(error(R"({"prompt":"p","completion":"c","sample":"0","total":1})"), "\"sample\": expected a number");
  has(error(R"({"prompt":"p","completion":"c","sample":0})"),
      "\"total\": expected a number or null, found none");
  has(error(R"({"prompt":"p","completion":"c","sample":0,"total":1,"correct":1})"), "true, false or null");
  has(error(R"({"prompt":"p","completion":"c","sample":0,"total":1,"finish":"late"})"),
      "end, length or stop");
  has(error(R"({"prompt":"p","completion":"c","sample":0,"total":1,"budget":3})"), "by \"budget\"");
  has(error(R"({"prompt":"p","completion":"c","sample":0,"total":1,"rewards":{"x":"a"}})"),
      "rewards.x: expected a number");
  StoredSamples read = stored(folder, R"({"prompt":"p","completion":"c","sample":0,"total":1})");
  EvalOptions options;
  const auto ask = [&](EvalOptions asked) { measure_stored(read, std::move(asked)); };
  options.by = {"level"};
  CHECK_THROWS_WITH_AS(ask(options), doctest::Contains("no prompt has a column \"level\""), UserError);
  options = {};
  options.k = {2};
  CHECK_THROWS_WITH_AS(ask(options), doctest::Contains("expected 1 to 1"), UserError);
  options = {};
  options.verifier = "x";
  CHECK_THROWS_WITH_AS(ask(options), doctest::Contains("no reward is called \"x\"; there are: none"),
                       UserError);
  options = {};
  options.diversity = true;
  CHECK_THROWS_WITH_AS(ask(options), doctest::Contains("completion_ids"), UserError);
  options = {};
  options.extrapolate = {1};
  CHECK_THROWS_WITH_AS(ask(options), doctest::Contains("pass@1 is measured"), UserError);
}

TEST_CASE("stored samples: too many values to break down by") {
  TempFolder folder;
  std::string text;
  for (int i = 0; i < 101; ++i)
    text += fmt::format(
        "{{\"prompt\":\"p{0}\",\"completion\":\"c\",\"sample\":0,\"total\":1,\"columns\":{{\"id\":{0}}}}}\n",
        i);
  StoredSamples read = stored(folder, text);
  EvalOptions options;
  options.by = {"id"};
  CHECK_THROWS_WITH_AS(measure_stored(read, options), doctest::Contains("101 different values"), UserError);
}

TEST_CASE("compare: two files of samples") {
  TempFolder folder;
  std::string many, few;
  for (int i = 0; i < 30; ++i) many += i % 3 == 0 ? "6" : "5", few += i % 2 == 0 ? "6" : "5";
  std::vector<std::string> a, b;
  for (int i = 0; i < 30; ++i) a.push_back(many.substr(i, 1)), b.push_back(few.substr(i, 1));
  Drawn first(a), second(b);
  for (EvalPrompt& p : second.asked) p.text = "<chat> " + p.text;  // another template
  StoredSamples one = stored(folder, first.lines()), two = stored(folder, second.lines());
  const Json out = compare_samples(one, two, 0.95, 1);
  CHECK(out["prompts"]["matched"] == 30);
  const Json& accuracy = out["compared"]["accuracy"];
  CHECK(accuracy["a"]["value"] == doctest::Approx(2.0 / 3));
  CHECK(accuracy["b"]["value"] == 0.5);
  CHECK(accuracy["difference"]["value"] == doctest::Approx(1.0 / 6));
  CHECK(accuracy["table"]["both"] == 10);
  CHECK(accuracy["table"]["only_a"] == 10);
  CHECK(accuracy["table"]["only_b"] == 5);
  CHECK(accuracy["p_a_above_b"].get<double>() > 0.8);
  CHECK(accuracy["p_a_above_b"].get<double>() < 0.97);
  CHECK(out["compared"].contains("reward"));
  CHECK(out["compared"]["reward/contains"]["difference"]["value"] == doctest::Approx(-1.0 / 6));
  CHECK(out["compared"]["length"]["p_a_above_b"] == 0.5);  // all equal
  CHECK(compare_samples(one, two, 0.95, 1).dump() == out.dump());
  CHECK(compare_samples(two, one, 0.95, 1)["compared"]["accuracy"]["difference"]["value"] ==
        doctest::Approx(-1.0 / 6));
  CHECK(compare_samples(one, one, 0.95, 1)["compared"]["accuracy"]["difference"]["value"] == 0.0);

  // Some prompts of the one file alone; then none in common.
  Drawn part(std::vector<std::string>(b.begin(), b.begin() + 7));
  StoredSamples short_one = stored(folder, part.lines());
  const Json partly = compare_samples(one, short_one, 0.95, 1);
  CHECK(partly["prompts"]["matched"] == 7);
  CHECK(partly["prompts"]["only_a"] == 23);
  StoredSamples other = stored(folder, R"({"prompt":"other","completion":"c","sample":0,"total":1})");
  CHECK_THROWS_WITH_AS(compare_samples(one, other, 0.95, 1), doctest::Contains("none of the 30 prompts"),
                       UserError);

  // Several samples a prompt.
  Drawn x({"55", "56", "66"}), y({"5566", "6666", "6666"});
  StoredSamples of_x = stored(folder, x.lines()), of_y = stored(folder, y.lines());
  const Json several = compare_samples(of_x, of_y, 0.95, 1);
  CHECK(several["compared"]["accuracy"]["a"]["value"] == doctest::Approx(0.5));
  CHECK(several["compared"]["pass@2"]["a"]["value"] == doctest::Approx(2.0 / 3));
  CHECK_FALSE(several["compared"].contains("pass@4"));
  CHECK(several["samples"]["b"] == 4);
}
