#include "reward/reward.h"

#include <array>
#include <cmath>
#include <ctime>
#include <fstream>

#include "base/error.h"
#include "base/json.h"
#include "base/random.h"
#include "reward/entries.h"
#include "reward/math.h"
#include "reward/normalise.h"
#include "reward/pattern.h"
#include "reward/references.h"
#include "reward/shaping.h"
#include "reward/text_match.h"
#include "test.h"
#include "told.h"

using namespace temper;

namespace {

std::optional<double> score(const std::string& kind, const std::string& completion,
                            const Json& columns = Json::object()) {
  const auto list = entries("[" + kind + "]");
  return list[0].options->make()->score({item_of(completion, &columns)}).at(0).value;
}

}  // namespace

TEST_CASE("rewards: length and repetition shaping equal TRL's") {
  const Json golden = read_json_file(test_file("reward/golden/shaping.json"));
  for (const Json& row : golden["cosine"]) {
    CAPTURE(row.dump());
    CosineOptions options;
    options.max_tokens = row[0];
    options.verifier = std::make_unique<MathOptions>();
    const Json columns = {{"answer", 1}};
    RewardItem right = item_of("\\boxed{1}", &columns), wrong = item_of("\\boxed{2}", &columns);
    right.tokens = wrong.tokens = row[1];
    const auto scores = options.make()->score({right, wrong});
    CHECK(std::abs(*scores[0].value - row[2].get<double>()) < 1e-12);
    CHECK(std::abs(*scores[1].value - row[3].get<double>()) < 1e-12);
  }
  for (const Json& row : golden["overlong"]) {
    CAPTURE(row.dump());
    CHECK(soft_overlong(row[2], row[0], row[1]) == doctest::Approx(row[3].get<double>()).epsilon(1e-12));
  }
  for (const Json& row : golden["repetition"]) {
    CAPTURE(row.dump());
    RepetitionOptions options;
    options.ngram = row[1];
    options.penalty = row[2];
    const auto ids = row[0].get<std::vector<int64_t>>();
    RewardItem item;
    item.ids = &ids;
    CHECK(*options.make()->score({item})[0].value == doctest::Approx(row[3].get<double>()).epsilon(1e-12));
    options.unit = "words";
    for (const int64_t id : ids) item.completion += std::to_string(id) + " \n";
    CHECK(*options.make()->score({item})[0].value == doctest::Approx(row[3].get<double>()).epsilon(1e-12));
  }
  for (const Json& row : golden["think"]) {
    CAPTURE(row.dump());
    CHECK(score(R"({"kind": "format", "pattern": "think"})", row[0]) == row[1].get<double>());
  }
}

TEST_CASE("rewards: a cosine is null where its verifier is") {
  CHECK_FALSE(score(R"({"kind": "cosine"})", "5", {{"answer", ""}}).has_value());
  CHECK(score(R"({"kind": "cosine", "verifier": {"kind": "contains", "texts": ["yes"]}})", "yes") == 1.0);
}

TEST_CASE("rewards: exact") {
  const Json yes = {{"answer", "Yes, it is"}};
  CHECK(score(R"({"kind": "exact"})", " Yes, it is\n", yes) == 1.0);
  CHECK(score(R"({"kind": "exact", "whitespace": "keep"})", " Yes, it is", yes) == 0.0);
  CHECK(score(R"({"kind": "exact"})", "yes, it is", yes) == 0.0);
  CHECK(score(R"({"kind": "exact", "ignore_case": true})", "YES, IT IS", yes) == 1.0);
  CHECK(score(R"({"kind": "exact", "ignore_punctuation": true})", "Yes it is!", yes) == 1.0);
  CHECK(score(R"({"kind": "exact", "whitespace": "collapse"})", "Yes,  it\n is", yes) == 1.0);
  CHECK(score(R"({"kind": "exact", "whitespace": "remove"})", "Y e s,itis", yes) == 1.0);
  CHECK(score(R"({"kind": "exact", "answer_in": "last_line"})", "Well.\nYes, it is\n\n", yes) == 1.0);
  CHECK(score(R"({"kind": "exact", "answer_in": "last_line"})", "\n", yes) == 0.0);
  CHECK(score(R"({"kind": "exact", "answer_in": "tag"})", "<answer> Yes, it is</answer>", yes) == 1.0);
  CHECK(score(R"({"kind": "exact", "answer_in": "boxed"})", "no box", yes) == 0.0);
  CHECK(score(R"({"kind": "exact"})", "b", {{"answer", {"a", "b"}}}) == 1.0);
  CHECK(score(R"({"kind": "exact", "ignore_case": true})", "STRASSE", {{"answer", "straße"}}) == 1.0);
  CHECK(score(R"({"kind": "exact"})", "caf\xc3\xa9", {{"answer", "cafe\xcc\x81"}}) ==
        1.0);  // composed and not
  CHECK(score(R"({"kind": "exact", "column": "n"})", "3", {{"n", 3}}) == 1.0);
  CHECK_THROWS_AS(score(R"({"kind": "exact"})", "x"), UserError);
}

TEST_CASE("rewards: contains") {
  CHECK(score(R"({"kind": "contains", "texts": ["a", "b"]})", "xbx") == 1.0);
  CHECK(score(R"({"kind": "contains", "texts": ["a", "b"], "need": "all"})", "xbx") == 0.0);
  CHECK(score(R"({"kind": "contains", "column": "word", "ignore_case": true})", "The WORD",
              {{"word", "word"}}) == 1.0);
  CHECK(has(problems(R"([{"kind": "contains"}])"), "needs either \"column\" or \"texts\""));
}

TEST_CASE("rewards: regular expressions") {
  CHECK(score(R"({"kind": "regex", "pattern": "^\\d+$"})", "12") == 1.0);
  CHECK(score(R"({"kind": "regex", "pattern": "a.b"})", "xa\nb") == 1.0);
  CHECK(score(R"({"kind": "regex", "pattern": "a.b", "dot_is_newline": false})", "xa\nb") == 0.0);
  CHECK(score(R"({"kind": "regex", "pattern": "b|bc", "whole": true})", "bc") == 1.0);
  CHECK(score(R"({"kind": "regex", "pattern": "b", "whole": true})", "bc") == 0.0);
  CHECK(score(R"({"kind": "regex", "pattern": "É", "ignore_case": true})", "é") == 1.0);
  CHECK(score(R"({"kind": "regex", "column": "re"})", "abc", {{"re", {"x", "c$"}}}) == 1.0);
  CHECK(score(R"({"kind": "regex", "column": "re"})", "abc", {{"re", "x"}}) == 0.0);
  CHECK_THROWS_WITH_AS(score(R"({"kind": "regex", "column": "re"})", "abc", {{"re", "("}}),
                       doctest::Contains("column re"), UserError);
  CHECK(score(R"({"kind": "regex", "pattern": "x"})", "\xff\xc3") == 0.0);
  CHECK(score(R"({"kind": "regex", "pattern": ".\\z"})", "\xe2\x82") == 1.0);
  CHECK(has(problems(R"([{"kind": "regex", "pattern": "(a"}])"),
            "rewards.0.pattern: \"(a\" is not a regular expression"));
  CHECK(has(problems(R"([{"kind": "regex"}])"), "needs either \"pattern\" or \"column\""));
}

TEST_CASE("rewards: an expression that backtracks without end is given up, and null") {
  const auto list = entries(R"([{"kind": "regex", "pattern": "^(a+)+$"}])");
  const auto reward = list[0].options->make();
  const auto scores = reward->score({item_of(std::string(100, 'a') + "b"), item_of("aaa")});
  CHECK_FALSE(scores[0].value.has_value());
  CHECK(scores[1] == 1.0);
  CHECK(reward->counters().at("gave_up") == 1);
}

TEST_CASE("rewards: an expression that runs forward without end is given up; ordinary text is not") {
  std::string text;
  while (text.size() < 4 << 20) text += "\\boxed{";
  const auto reward =
      entries(R"([{"kind": "regex", "pattern": "\\\\boxed\\s*\\{.+\\}"}])")[0].options->make();
  const auto scores =
      reward->score({item_of(text), item_of(text.substr(0, 1 << 14)), item_of(text + "}"), item_of("a")});
  CHECK_FALSE(scores[0].value.has_value());  // from each of 600,000 places to the end
  CHECK(scores[1] == 0.0);
  CHECK(scores[2] == 1.0);
  CHECK(scores[3] == 0.0);  // the next text begins with all its steps
  CHECK(reward->counters().at("gave_up") == 1);
  // At one place too: two stars, each step back of the first runs the second to the end.
  CHECK_FALSE(Pattern(R"(\A.*a.*c\z)", {}, "test").matches(std::string(1 << 17, 'a') + "cb").has_value());
  // Characters are counted, and are what they were: of several bytes, in classes and behind lookbehinds.
  const std::string accents = "x" + std::string(300, 'y') + "\u00e9\u00e9\U0001f600z";
  const auto found = [&](const std::string& pattern) {
    const auto match = Pattern(pattern, {}, "test").matches(accents);
    REQUIRE(match.has_value());
    return *match;
  };
  for (const char* pattern : {"\u00e9{2}", "^xy{300}..\U0001f600z$", "(?<=\u00e9)\U0001f600", "[^a-y]{4}\\z",
                              "\\A.{305}\\z", "\\w+\U0001f600", "[\u00e8-\u00ea]+"}) {
    CAPTURE(pattern);
    CHECK(found(pattern));
  }
  for (const char* pattern : {"\u00e9{3}", "\\A.{306}", "(?<=z)\U0001f600", "\\A\\w+\\z"}) {
    CAPTURE(pattern);
    CHECK_FALSE(found(pattern));
  }
}

TEST_CASE("rewards: named formats take linear time and are what their plain expressions are") {
  const auto scored_in = [](const std::string& name, const std::string& text) {
    const auto start = std::clock();
    const auto found = score("{\"kind\": \"format\", \"pattern\": \"" + name + "\"}", text);
    CHECK(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC < 2);  // minutes when it is quadratic
    return found;
  };
  const auto times = [](const std::string& piece, size_t bytes) {
    std::string out;
    while (out.size() < bytes) out += piece;
    return out;
  };
  for (const std::string piece : {"\\boxed{", "\\boxed ", "<answer>", "</answer>", "</think><answer>",
                                  "</think> ", "####\t", "####\n", "<", "a"}) {
    CAPTURE(piece);
    const std::string text = times(piece, 1 << 20);
    for (const char* name : {"think", "think_answer", "answer", "boxed", "hash"}) {
      CAPTURE(name);
      CHECK(scored_in(name, text).has_value());
      CHECK(scored_in(name, "<think>" + text + "</think><answer>5</answer>").has_value());
    }
  }
  CHECK(scored_in("boxed", times("\\boxed{", 1 << 20) + "5}") == 1);
  // The same verdicts as the expressions that say it without a thought of time.
  const Pattern boxed(R"(\\boxed\s*\{.+\})", {}, "test");
  const Pattern think_answer(
      R"(\A<think>(?!.*<think>).*?</think>\s*<answer>(?!.*<answer>)(?!.*</answer>.*</answer>).*</answer>\s*\z)",
      {}, "test");
  const char* const pieces[] = {"\\boxed", "{",        "}",        " ",         "x",
                                "<think>", "</think>", "<answer>", "</answer>", "\n"};
  RandomStream random(1, "formats");
  std::array<int, 2> yes = {};
  for (int i = 0; i < 20000; ++i) {
    std::string text = i % 2 == 0 ? "" : "<think>";
    for (uint64_t k = random.below(9); k > 0; --k) text += pieces[random.below(std::size(pieces))];
    if (i % 4 == 3) text += "</think>" + std::string(i % 8 == 3 ? "" : "x") + "<answer>5</answer>";
    CAPTURE(text);
    const double a = boxed.matches(text).value() ? 1 : 0, b = think_answer.matches(text).value() ? 1 : 0;
    CHECK(score(R"({"kind": "format", "pattern": "boxed"})", text) == a);
    CHECK(score(R"({"kind": "format", "pattern": "think_answer"})", text) == b);
    yes[0] += static_cast<int>(a);
    yes[1] += static_cast<int>(b);
  }
  CHECK(yes[0] > 20);
  CHECK(yes[1] > 200);
}

TEST_CASE("rewards: named formats") {
  const auto format = [](const std::string& name, const std::string& text) {
    return *score("{\"kind\": \"format\", \"pattern\": \"" + name + "\"}", text);
  };
  CHECK(format("think_answer", "<think>\na\n</think>\n<answer>5</answer>\n") == 1);
  CHECK(format("think_answer", "<think>a</think> so <answer>5</answer>") == 0);
  CHECK(format("think_answer", "<think>a</think><answer>5</answer> there") == 0);
  CHECK(format("think_answer", "<think>a</think><answer>5</answer><answer>6</answer>") == 0);
  CHECK(format("answer", "so <answer>5</answer>") == 1);
  CHECK(format("answer", "<answer>5</answer> <answer>6</answer>") == 0);
  CHECK(format("boxed", "it is \\\\boxed{5}") == 1);
  CHECK(format("hash", "so\n#### 5") == 1);
  CHECK(format("hash", "so #### 5") == 0);
  CHECK(format("^yes", "yes") == 1);
  CHECK(has(problems(R"([{"kind": "format", "pattern": "thnik"}])"),
            "no format is named \"thnik\"; did you mean \"think\"?"));
}

TEST_CASE("rewards: the config's array of them") {
  const auto list = entries(
      R"([{"kind": "math", "weight": 2, "column": "a"}, {"kind": "format", "name": "shape", "weight": 0}])");
  CHECK(list[0].kind == "math");
  CHECK(list[0].weight == 2);
  CHECK(dynamic_cast<MathOptions&>(*list[0].options).column == "a");
  CHECK(list[1].name == "shape");
  RewardConfig config;
  read_fields(
      config,
      parse_json(R"({"rewards": [{"kind": "cosine", "max_tokens": 5, "verifier": {"kind": "exact"}}]})", "c"),
      "c", "");
  const Json dump = dump_fields(config);
  CHECK(dump["rewards"][0]["verifier"]["kind"] == "exact");
  CHECK(dump["rewards"][0]["max_tokens"] == 5);
  RewardConfig again;
  read_fields(again, dump, "c", "");
  CHECK(dump_fields(again) == dump);
  CHECK(has(problems(R"([{"kind": "maths"}])"), "did you mean \"math\"?"));
  CHECK(has(problems(R"([{"kind": "math", "colunm": "a"}])"),
            "rewards.0.colunm: unknown key; did you mean \"column\"?"));
  CHECK(has(problems(R"([{"weight": 1}])"), "rewards.0.kind: missing; expected one of math, exact"));
  CHECK(has(problems(R"([{"kind": "overlong"}])"), "rewards.0.max_tokens: missing"));
  CHECK(has(problems(R"([{"kind": "overlong", "max_tokens": 10, "cache": 20}])"), "above max_tokens"));
}

TEST_CASE("rewards: every kind says what it does and where it comes from, and has fields") {
  for (const auto& entry : reward_registry().entries()) {
    CAPTURE(entry.name);
    CHECK_FALSE(entry.summary.empty());
    CHECK_FALSE(entry.source.empty());
    if (entry.name != "environment") CHECK(describe_fields(*entry.make()).size() > 0);
  }
}

TEST_CASE("rewards: combinations") {
  const std::string three =
      R"([{"kind": "math", "weight": 2}, {"kind": "contains", "texts": ["so"], "weight": 0.5, "incorrect": -1},
      {"kind": "format", "pattern": "hash", "weight": 0}])";
  const Json columns = {{"answer", 5}}, unreadable = {{"answer", "?"}};
  const std::vector<RewardItem> items = {item_of("so 5", &columns), item_of("5", &columns),
                                         item_of("so", &columns), item_of("5", &unreadable)};
  RewardSet sum(entries(three)), product(entries(three), "product"), least(entries(three), "min");
  const auto a = sum.score(items), b = product.score(items), c = least.score(items);
  CHECK(a[0].total == 2.5);
  CHECK(a[1].total == 1.5);
  CHECK(a[2].total == 0.5);
  CHECK_FALSE(a[3].total.has_value());
  CHECK((a[0].parts == std::vector<Score>{1.0, 1.0, 0.0}));
  CHECK_FALSE(a[3].parts[0].value.has_value());
  CHECK(a[3].parts[1] == -1.0);
  CHECK(b[0].total == 1.0);
  CHECK(b[1].total == -1.0);
  const auto d = RewardSet(entries(three), "first").score(items);
  CHECK(d[0].total == 2.0);
  CHECK(d[1].total == 2.0);
  CHECK(d[3].total == -0.5);
  const std::string blind = R"([{"kind": "math"}, {"kind": "format", "pattern": "hash", "weight": 0}])";
  CHECK_FALSE(RewardSet(entries(blind), "first").score({items[3]})[0].total.has_value());
  CHECK(c[0].total == 0.5);
  CHECK(c[1].total == -0.5);
  CHECK(sum.compared_as(columns) == "number");
  CHECK(sum.compared_as(unreadable) == "text");
  CHECK(sum.items_scored() == 4);
  CHECK(sum.counters() == std::map<std::string, int64_t>{{"format/gave_up", 0}});
  CHECK_THROWS_WITH_AS(RewardSet(entries(R"([{"kind": "math", "name": "reward"}])")),
                       doctest::Contains("what they add up to"), UserError);
  CHECK(sum.names() == std::vector<std::string>{"math", "contains", "format"});
  CHECK(sum.answer(items[0]) == "5");
  CHECK(sum.score({}).empty());
}

TEST_CASE("rewards: the counters of each, under its name") {
  RewardSet set(entries(R"([{"kind": "regex", "name": "slow", "pattern": "^(a|a)*$"}, {"kind": "math"}])"));
  const Json columns = {{"answer", 5}};
  CHECK(set.counters() == std::map<std::string, int64_t>{{"slow/gave_up", 0}});
  set.score({item_of(std::string(100, 'a') + "b", &columns), item_of("b", &columns)});
  CHECK(set.counters() == std::map<std::string, int64_t>{{"slow/gave_up", 1}});
  CHECK(set.items_scored() == 2);
}

TEST_CASE("rewards: a score as JSON, exact") {
  Score told = -1.0 / 3;
  told.text = "line 1\nZ\xc3\xbcrich";
  told.outcome = "passed";
  Score mute = std::nullopt;
  mute.text = "no answer in time";
  for (const Score& score : {Score(0.1), Score(std::nullopt), told, mute})
    CHECK((score_from_json(Json::parse(to_json(score).dump())) == score));
  CHECK(to_json(Score(0.5)) == 0.5);  // as states of runs had them before there was more
  CHECK(to_json(Score()) == nullptr);
  Json row = {{"a", 1}};
  write_parts(row, {"x", "y"}, {-0.5, {told, 2.0}, {-1.0 / 3, 0.25}});
  CHECK(row["rewards"]["x"] == -1.0 / 3);
  CHECK(row["rewards"]["y"] == 2.0);
  CHECK(row["reward_texts"]["x"] == told.text);
  CHECK(row["reward_outcomes"]["x"] == "passed");
  CHECK_FALSE(row["reward_texts"].contains("y"));
  CHECK(row["reward_transformed"]["y"] == 0.25);
  CHECK_FALSE(row["reward_transformed"].contains("x"));
}

TEST_CASE("rewards: what looks at each item alone says the same in any company, and joins with the others") {
  const Json columns = {{"answer", 5}, {"re", "5"}};
  std::vector<int64_t> ids = {1, 2, 3, 1, 2, 3};
  std::vector<RewardItem> items;
  for (const char* text : {"so 5", "5", "so", "#### 5", "x x x x 5"}) {
    items.push_back(item_of(text, &columns));
    items.back().ids = &ids;
    items.back().tokens = static_cast<int64_t>(items.size());
  }
  const std::string kinds =
      R"([{"kind": "math"}, {"kind": "exact"}, {"kind": "contains", "texts": ["so"]}, {"kind": "regex", "column": "re"},
          {"kind": "format", "pattern": "hash"}, {"kind": "cosine"}, {"kind": "overlong", "max_tokens": 4, "cache": 2},
          {"kind": "repetition", "unit": "words"}, {"kind": "process", "command": ["/bin/sh", "-c",
           "while IFS= read -r line; do id=${line#*'\"id\":'}; echo \"{\\\"id\\\": ${id%%,*}, \\\"score\\\": ${#line}}\"; done"]}])";
  RewardSet all(entries(kinds));
  CHECK(all.has(ScoredBy::kEachAlone));
  CHECK_FALSE(all.has(ScoredBy::kOthers));
  CHECK(all.external());
  const auto together = all.score(items);
  for (size_t i = items.size(); i-- > 0;) {
    const auto alone = all.parts({items[i]}, {}, ScoredBy::kEachAlone);
    CHECK_FALSE(alone[0].total.has_value());
    std::vector<ScoredItem> joined = {all.join(alone[0], alone[0])};
    CHECK((joined[0].parts == together[i].parts));
    all.settle({items[i]}, joined);
    CHECK(joined[0].total == together[i].total);
    CHECK_FALSE(all.parts({items[i]}, {}, ScoredBy::kOthers)[0].parts[0].value.has_value());
  }
}

TEST_CASE("rewards: a record that lacks a column is told before anything is scored") {
  const Json good = {{"answer", 5}, {"re", "x"}}, bad = {{"reply", 5}}, broken = {{"answer", 5}, {"re", "("}};
  for (const char* kind :
       {R"({"kind": "math"})", R"({"kind": "exact"})", R"({"kind": "contains", "column": "answer"})",
        R"({"kind": "regex", "column": "re"})", R"({"kind": "cosine"})"}) {
    CAPTURE(kind);
    RewardSet set(entries("[" + std::string(kind) + "]"));
    CHECK_NOTHROW(set.check(good));
    CHECK_THROWS_WITH_AS(set.check(bad), doctest::Contains("the record has: reply"), UserError);
  }
  CHECK_THROWS_AS(RewardSet(entries(R"([{"kind": "regex", "column": "re"}])")).check(broken), UserError);
}

TEST_CASE("rewards: what no reward can read is told with its share, and all of it is an error") {
  std::vector<Record> records;
  for (const char* text :
       {R"({"answer": 5})", R"({"answer": "$ $"})", R"({"answer": ["", " "]})", R"({"answer": []})"})
    records.push_back({parse_json(text, "t"), "t.jsonl", static_cast<int64_t>(records.size()) + 1});
  const auto told = [&](const std::string& kind, std::vector<Record> of) {
    try {
      const auto lines = check_references(RewardSet(entries("[" + kind + "]")), of, "data.train");
      return lines.empty() ? std::string("nothing") : lines.size() == 1 ? lines[0] : std::string("several");
    } catch (const UserError& e) {
      return "error: " + std::string(e.what());
    }
  };
  const std::vector<Record> bad(records.begin() + 1, records.end()), last = {records.back()};
  for (const char* kind : {R"({"kind": "math"})", R"({"kind": "cosine"})"}) {
    CAPTURE(kind);
    CHECK(told(kind, {records[0]}) == "nothing");
    CHECK(has(told(kind, records), "cannot score 3 of 4 records"));
    CHECK(has(told(kind, records), "t.jsonl:2: column \"answer\" holds no answer: \"$ $\""));
    CHECK(has(told(kind, bad), "error: data.train: reward"));
    CHECK(has(told(kind, bad), "none of the 3 records"));
  }
  CHECK(has(told(R"({"kind": "math", "weight": 0})", bad), "cannot score 3 of 3 records"));
  const auto first = [&](const std::string& kinds) { return RewardSet(entries("[" + kinds + "]"), "first"); };
  const std::string math = R"({"kind": "math"})", exact = R"(, {"kind": "exact"})";
  CHECK(check_references(first(math + exact), bad, "data.train").size() == 2);
  CHECK_THROWS_AS(check_references(first(math + exact), last, "data.train"), UserError);
  for (const char* kind : {R"({"kind": "exact"})", R"({"kind": "contains", "column": "answer"})",
                           R"({"kind": "regex", "column": "answer"})"}) {
    CAPTURE(kind);
    CHECK(told(kind, {records[0]}) == "nothing");
    CHECK(has(told(kind, records), "cannot score 1 of 4 records, their rewards are null; t.jsonl:4"));
    CHECK(has(told(kind, last), "error:"));
    CHECK_FALSE(score(kind, "5", last[0].json).has_value());
  }
  const std::vector<Record> gap = {{parse_json(R"({"answer": null, "q": 1})", "t"), "t.jsonl", 9}};
  CHECK(has(told(R"({"kind": "math"})", gap),
            "error: t.jsonl:9: reward math: the data has no column \"answer\""));
}

TEST_CASE("rewards: sets that cannot be") {
  CHECK_THROWS_WITH_AS(RewardSet(entries("[]")), doctest::Contains("at least one"), UserError);
  CHECK_THROWS_WITH_AS(RewardSet(entries(R"([{"kind": "math"}, {"kind": "math"}])")),
                       doctest::Contains("two are called \"math\""), UserError);
  CHECK_THROWS_WITH_AS(RewardSet(entries(R"([{"kind": "math"}])"), "mean"),
                       doctest::Contains("sum, product, min"), UserError);
  CHECK_NOTHROW(RewardSet(entries(R"([{"kind": "math"}, {"kind": "math", "name": "math2"}])")));
}
