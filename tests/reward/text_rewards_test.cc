#include <ctime>
#include <fstream>

#include "base/error.h"
#include "base/json.h"
#include "reward/pattern.h"
#include "reward/reward.h"
#include "reward/text/bleu.h"
#include "reward/text/json_reward.h"
#include "reward/text/json_schema.h"
#include "reward/text/porter.h"
#include "reward/text/rouge.h"
#include "reward/text/squad.h"
#include "reward/text/words.h"
#include "test.h"
#include "told.h"

using namespace temper;

namespace {

std::vector<std::string> lines_of(const std::string& file) {
  std::ifstream in(test_file("reward/golden/" + file));
  REQUIRE(in.good());
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

struct Entry : Fields {
  RewardEntry entry;
  void fields(FieldVisitor& v) override { v.section("reward", entry, "the reward"); }
};

// The reward that a config's {"kind": ...} is; throws UserError with its problems.
std::unique_ptr<Reward> reward_of(const Json& json) {
  Entry read;
  read_fields(read, {{"reward", json}}, "c", "");
  return read.entry.options->make();
}

std::string reward_problems(const Json& json) {
  try {
    reward_of(json);
  } catch (const UserError& e) {
    return e.what();
  }
  return "";
}

std::optional<double> text_score(const Json& reward, const std::string& completion,
                                 const Json& columns = Json::object()) {
  RewardItem item;
  item.completion = item.raw_completion = completion;
  item.columns = &columns;
  return reward_of(reward)->score({item}).at(0).value;
}

double seconds_of(const std::function<void()>& work) {
  const auto start = std::clock();
  work();
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

std::string times(const std::string& piece, size_t n) {
  std::string out;
  for (size_t i = 0; i < n; ++i) out += piece;
  return out;
}

std::string problem_of_schema(const std::string& schema) {
  try {
    JsonSchema(parse_json(schema, "s"), "s");
  } catch (const UserError& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("text rewards: rouge, bleu, chrf and f1 equal rouge_score, sacrebleu and SQuAD's script") {
  std::map<std::string, std::unique_ptr<Reward>> rewards;
  const auto make = [&](const Json& json) { rewards[json.dump()] = reward_of(json); };
  size_t cases = 0;
  double worst = 0;
  for (const std::string& line : lines_of("texts.jsonl")) {
    const Json row = parse_json(line, "texts.jsonl");
    CAPTURE(line);
    const Json columns = {{"answer", row["references"]}};
    RewardItem item;
    item.completion = row["completion"];
    item.columns = &columns;
    const auto check = [&](const Json& json, const Json& wanted) {
      if (rewards.count(json.dump()) == 0) make(json);
      const auto found = rewards[json.dump()]->score({item}).at(0).value;
      CAPTURE(json.dump());
      REQUIRE(found.has_value());
      const double off = std::abs(*found - wanted.get<double>());
      CHECK(off < 1e-9);
      worst = std::max(worst, off);
      ++cases;
    };
    for (const auto& [type, by_stem] : row["rouge"].items()) {
      for (const int stem : {0, 1}) {
        const Json& s = by_stem[static_cast<size_t>(stem)];
        const char* const measures[] = {"precision", "recall", "f"};
        for (size_t m = 0; m < 3; ++m)
          check({{"kind", "rouge"}, {"type", type}, {"measure", measures[m]}, {"stem", stem == 1}}, s[m]);
      }
    }
    check({{"kind", "bleu"}}, row["bleu"][0]);
    check({{"kind", "bleu"}, {"lowercase", true}}, row["bleu"][1]);
    check({{"kind", "chrf"}}, row["chrf"]);
    check({{"kind", "f1"}}, row["f1"]);
    check({{"kind", "f1"}, {"metric", "exact_match"}}, row["exact_match"]);
  }
  CHECK(cases > 300 * 29);
  MESSAGE("worst difference of " << cases << ": " << worst);
}

TEST_CASE("text rewards: stems equal nltk's") {
  size_t words = 0;
  for (const std::string& line : lines_of("stems.txt")) {
    CAPTURE(line);
    const size_t blank = line.find(' ');
    CHECK(porter_stem(line.substr(0, blank)) == line.substr(blank + 1));
    ++words;
  }
  CHECK(words > 2000);
}

TEST_CASE("text rewards: words") {
  using Words = std::vector<std::string>;
  CHECK(rouge_words("It's 3.5% of \u0130\u212a\u00e9x", false) ==
        Words{"it", "s", "3", "5", "of", "i", "k", "x"});
  CHECK(bleu_tokens("Hi, 3.5-4 \"x\".") == Words{"Hi", ",", "3.5", "-", "4", "\"", "x", "\"", "."});
  CHECK(squad_words("The cat's, an A-team the.") == Words{"cats", "ateam"});
  CHECK(python_lower("\u0391\u03a3 \u0391\u03a3\u0391 \u03a3") == "\u03b1\u03c2 \u03b1\u03c3\u03b1 \u03c3");
  CHECK(split_at_space(" a\u2003b\x1f\tc ") == Words{"a", "b", "c"});
}

TEST_CASE("text rewards: no reference, another column, bytes that are no text") {
  for (const char* kind : {"rouge", "bleu", "f1"}) {
    CAPTURE(kind);
    CHECK(text_score({{"kind", kind}}, "x y z w v", {{"answer", "x y z w v"}}) ==
          doctest::Approx(1).epsilon(1e-12));
    CHECK_FALSE(text_score({{"kind", kind}}, "x", {{"answer", Json::array()}}).has_value());
    CHECK(text_score({{"kind", kind}, {"column", "n"}}, "12", {{"n", {11, 12}}}) ==
          doctest::Approx(1).epsilon(1e-12));
    CHECK(text_score({{"kind", kind}}, "x\xff\xc3", {{"answer", "y"}}) == 0.0);
    CHECK_THROWS_AS(text_score({{"kind", kind}}, "x"), UserError);
    CHECK(reward_of({{"kind", kind}})->each_alone());
    const auto reward = reward_of({{"kind", kind}});
    CHECK(reward->check({{"answer", Json::array()}}).has_value());
    CHECK_FALSE(reward->check({{"answer", "x"}}).has_value());
    CHECK_THROWS_AS(reward->check(Json::object()), UserError);
  }
  CHECK(has(reward_problems({{"kind", "rouge"}, {"type", "rouge3"}}),
            "one of rouge1, rouge2, rougeL, rougeLsum"));
}

TEST_CASE("text rewards: long texts take little time; a table beyond bounds gives null") {
  std::string a, b;
  for (int i = 0; i < 50000; ++i) {
    a += "w" + std::to_string(i % 977) + " ";
    b += "w" + std::to_string(i * 7 % 1009) + " ";
  }
  for (const char* type : {"rouge1", "rouge2", "rougeL"}) {
    CAPTURE(type);
    CHECK(seconds_of([&] { CHECK(rouge(type, a, b, true).has_value()); }) < 10);
  }
  CHECK(seconds_of([&] { CHECK(sentence_bleu(a, {b}) < 1); }) < 10);
  CHECK(rouge("rougeL", a, a, false)->f == 1);
  CHECK(rouge("rougeLsum", a.substr(0, 20000), b, false).has_value());
  std::string column_of_words;
  for (int i = 0; i < 50000; ++i) column_of_words += "the\nw" + std::to_string(i) + "\n";
  CHECK(seconds_of([&] { rouge("rougeLsum", times("the cat the w7\n", 50), column_of_words, false); }) < 10);
  CHECK_FALSE(rouge("rougeLsum", times(a, 2), times(b, 2), false).has_value());
}

TEST_CASE("json_schema: verdicts by hand and those of jsonschema") {
  size_t verdicts = 0;
  for (const std::string& line : lines_of("json_schema.jsonl")) {
    const Json row = parse_json(line, "json_schema.jsonl");
    CAPTURE(row["schema"].dump());
    const JsonSchema schema(row["schema"], "schema");
    for (const Json& text : row["texts"]) {
      CAPTURE(text.dump());
      const auto value = find_json(text[0], "all");
      REQUIRE(value.has_value());
      CHECK(schema.fits(*value) == text[1].get<bool>());
      ++verdicts;
    }
  }
  CHECK(verdicts > 1000);
}

TEST_CASE("json_schema: what is not checked is refused") {
  for (const char* keyword : {"format", "patternProperties", "contains", "if", "then", "else",
                              "dependentRequired", "$id", "$anchor", "$dynamicRef", "unevaluatedProperties",
                              "propertyNames", "definitions", "typ", "contentMediaType"}) {
    CAPTURE(keyword);
    const std::string bad = Json{{"properties", {{"a", {{keyword, "x"}}}}}}.dump();
    CHECK(has(problem_of_schema(bad), "s: /properties/a: the keyword \"" + std::string(keyword) + "\""));
  }
  const std::pair<const char*, const char*> bad[] = {
      {R"(5)", "s: /: expected a schema"},
      {R"({"type": "int"})", "/type: expected null, boolean"},
      {R"({"type": [1]})", "/type: expected null, boolean"},
      {R"({"enum": 1})", "/enum: expected an array"},
      {R"({"properties": []})", "/properties: expected an object"},
      {R"({"properties": {"a/b": 1}})", "/properties/a~1b: expected a schema"},
      {R"({"required": "a"})", "/required: expected an array of names"},
      {R"({"required": [1]})", "/required: expected an array of names"},
      {R"({"items": [{}]})", "/items: expected a schema"},
      {R"({"prefixItems": []})", "/prefixItems: expected an array of at least one"},
      {R"({"anyOf": {}})", "/anyOf: expected an array of at least one"},
      {R"({"minItems": -1})", "/minItems: expected a whole number"},
      {R"({"maxLength": 1.5})", "/maxLength: expected a whole number"},
      {R"({"uniqueItems": 1})", "/uniqueItems: expected true or false"},
      {R"({"pattern": "("})", "/pattern: \"(\" is not a regular expression"},
      {R"({"minimum": "1"})", "/minimum: expected a number"},
      {R"({"multipleOf": 0})", "/multipleOf: expected a number above 0"},
      {R"({"$schema": "http://json-schema.org/draft-07/schema#"})", "/$schema: expected draft 2020-12"},
      {R"({"$ref": 1})", "/$ref: expected a place"},
      {R"({"$ref": "other.json"})", "is outside the schema"},
      {R"({"$ref": "#/$defs/x"})", "\"#/$defs/x\" is no schema in this one"},
      {R"({"$ref": "#/%zz"})", "is no schema in this one"},
      {R"({"$ref": "#/enum/0", "enum": [{}]})", "is no schema in this one"},
      {R"({"$ref": "#"})", "leads back to itself"},
      {R"({"not": {"$ref": "#"}})", "leads back to itself"},
      {R"({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"anyOf": [true, {"$ref": "#/$defs/a"}]}}})",
       "leads back to itself"},
  };
  for (const auto& [schema, text] : bad) {
    CAPTURE(schema);
    const std::string problem = problem_of_schema(schema);
    CAPTURE(problem);
    CHECK(has(problem, text));
    CHECK_FALSE(has(problem, "\n"));
  }
  Json chain = {{"$ref", "#/$defs/0"}};
  for (int i = 0; i < 600; ++i)
    chain["$defs"][std::to_string(i)] = {{"$ref", "#/$defs/" + std::to_string(i + 1)}};
  chain["$defs"]["600"] = true;
  CHECK(has(problem_of_schema(chain.dump()), "a chain of more than 512"));
  Json backwards = {{"$defs", {{"600", true}}}};  // the ends are read first
  for (int i = 599; i >= 0; --i)
    backwards["$defs"][std::to_string(i)] = {{"$ref", "#/$defs/" + std::to_string(i + 1)}};
  CHECK(has(problem_of_schema(backwards.dump()), "a chain of more than 512"));
}

TEST_CASE("json_schema: where the JSON of a completion stands") {
  const auto found = [](const std::string& how, const std::string& text) {
    const auto value = find_json(text, how);
    return value ? value->dump() : "none";
  };
  CHECK(found("all", " {\"a\": 1}\n") == "{\"a\":1}");
  CHECK(found("all", "5") == "5");
  CHECK(found("all", "{\"a\": 1} x") == "none");
  CHECK(found("all", "") == "none");
  CHECK(found("all", "{\"a\": 1, \"a\": 2}") == "{\"a\":2}");
  for (const char* bad :
       {"NaN", "[1,]", "{'a': 1}", "// x\n1", "1e999", "\"\xff\"", "\"\\ud800\"", "[1", "\"a\nb\""})
    CHECK(found("all", bad) == "none");
  CHECK(found("fenced", "So:\n```json\n[1]\n```\nor\n```json\n[2]\n```\nand\n```\n[3]\n```\n") == "[2]");
  CHECK(found("fenced", "```json\n[1]\n```\n```json\n[2]") == "[1]");  // the last one is not closed
  CHECK(found("fenced", "```python\nx = '''\n```json\n[1]\n```\n") == "none");
  CHECK(found("fenced", "  ```json  \r\n[1]\r\n  ```\r\n") == "[1]");
  CHECK(found("fenced", "[1]") == "none");
  CHECK(found("fenced", "```json\nx\n```") == "none");
  CHECK(found("fenced", "```json\n```") == "none");
  CHECK(found("first", "In [0, 1) and {x} it is {\"a\": \"}]\\\"\"}, not [2].") == "{\"a\":\"}]\\\"\"}");
  CHECK(found("first", "5 is no object") == "none");
  CHECK(found("first", "[[[1]") == "[1]");
  CHECK(found("first", "[x[2]]") == "[2]");
}

TEST_CASE("json_schema: hostile completions") {
  const JsonSchema any(true, "s");
  const JsonSchema tree(
      parse_json(R"({"anyOf": [{"items": {"$ref": "#"}}, {"items": {"$ref": "#"}, "type": "null"}]})", "s"),
      "s");
  const auto nested = [](size_t depth) { return times("[", depth) + times("]", depth); };
  CHECK(find_json(nested(512), "all").has_value());
  CHECK_FALSE(find_json(nested(513), "all").has_value());
  CHECK(tree.fits(*find_json(nested(512), "all")) == true);
  for (const char* how : {"all", "first", "fenced"}) {
    CAPTURE(how);
    for (const std::string& text :
         {nested(1 << 20), times("[", 1 << 20), times("{\"a\":", 1 << 18), times("[1,", 1 << 19),
          times("[\"", 1 << 19), times("```json\n", 1 << 17), times("```json\n[\n```\n", 1 << 16)}) {
      CHECK(seconds_of([&] { find_json(text, how); }) < 5);
    }
  }
  std::string keys = "{";
  for (int i = 0; i < 200000; ++i) keys += "\"k" + std::to_string(i) + "\":0,";
  keys += "\"\":0}";
  CHECK(seconds_of([&] { CHECK(any.fits(find_json(keys, "all").value()) == true); }) < 5);
  const JsonSchema unique(parse_json(R"({"uniqueItems": true})", "s"), "s");
  std::string items = "[9007199254740992.0";
  for (int i = 0; i < 200000; ++i) items += "," + std::to_string(9007199254740993 + i % 7 * 2 + i);
  CHECK(seconds_of([&] { unique.fits(find_json(items + "]", "all").value()); }) < 5);
  // Twice as many ways with each level.
  const JsonSchema ways(
      parse_json(R"({"type": "array", "oneOf": [{"items": {"$ref": "#"}}, {"items": {"$ref": "#"}}]})", "s"),
      "s");
  CHECK(ways.fits(*find_json(nested(10), "all")).has_value());
  std::optional<bool> verdict;
  CHECK(seconds_of([&] { verdict = ways.fits(*find_json(nested(500), "all")); }) < 10);
  CHECK_FALSE(verdict.has_value());
  const JsonSchema slow(parse_json(R"({"items": {"not": {"pattern": "^(a+)+$"}}})", "s"), "s");
  CHECK_FALSE(slow.fits(*find_json("[\"" + times("a", 100) + "b\"]", "all")).has_value());
}

TEST_CASE("json_schema: the reward") {
  const Json schema = {{"type", "object"}, {"required", {"a"}}};
  const Json reward = {{"kind", "json_schema"}, {"schema", schema}};
  CHECK(text_score(reward, "{\"a\": 1}") == 1.0);
  CHECK(text_score(reward, "{\"b\": 1}") == 0.0);
  CHECK(text_score(reward, "So: {\"a\": 1}") == 0.0);
  CHECK(text_score({{"kind", "json_schema"}, {"schema", schema}, {"extract", "first"}}, "So: {\"a\": 1}") ==
        1.0);
  const Json column = {{"kind", "json_schema"}, {"column", "shape"}};
  CHECK(text_score(column, "{\"a\": 1}", {{"shape", schema}}) == 1.0);
  CHECK(text_score(column, "{\"b\": 1}", {{"shape", schema.dump()}}) == 0.0);
  CHECK_THROWS_WITH_AS(text_score(column, "1", Json::object()), doctest::Contains("no column \"shape\""),
                       UserError);
  const Json bad = {{"shape", {{"typ", "object"}}}};
  CHECK_THROWS_WITH_AS(reward_of(column)->check(bad),
                       doctest::Contains("column shape: /: the keyword \"typ\""), UserError);
  CHECK_FALSE(reward_of(column)->check({{"shape", schema}}).has_value());
  CHECK(reward_of(reward)->each_alone());
  Entry read, again;
  read_fields(read, {{"reward", reward}}, "c", "");
  read_fields(again, dump_fields(read), "c", "");
  CHECK(dump_fields(again) == dump_fields(read));

  CHECK(has(reward_problems({{"kind", "json_schema"}}),
            "needs one of \"schema\", \"schema_file\" and \"column\""));
  CHECK(has(reward_problems({{"kind", "json_schema"}, {"schema", schema}, {"column", "x"}}), "needs one of"));
  CHECK(has(reward_problems({{"kind", "json_schema"}, {"schema", "a.json"}}),
            "a path goes into \"schema_file\""));
  CHECK(has(reward_problems({{"kind", "json_schema"}, {"schema", {{"typ", 1}}}}),
            "the keyword \"typ\" is not checked"));
  CHECK(
      has(reward_problems({{"kind", "json_schema"}, {"schema_file", "/nowhere/a.json"}}), "/nowhere/a.json"));

  // A pattern that is given up is no fit, and counted.
  const auto slow = reward_of({{"kind", "json_schema"}, {"schema", {{"pattern", "^(a+)+$"}}}});
  RewardItem item;
  item.completion = "\"" + times("a", 100) + "b\"";
  CHECK(slow->score({item}).at(0) == 0.0);
  CHECK(slow->counters().at("gave_up") == 1);
}

TEST_CASE("rewards: an expression's ^ and $ as the ends of the text alone") {
  const auto matches = [](const std::string& pattern, const std::string& text) {
    return Pattern(pattern, {.lines = false}, "test").matches(text).value();
  };
  CHECK(matches("^a$", "a"));
  CHECK_FALSE(matches("^b", "a\nb"));
  CHECK_FALSE(matches("a$", "a\nb"));
  CHECK(matches("a$", "a\n"));
}
