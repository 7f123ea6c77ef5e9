#include "reward/ksat.h"

#include <ctime>

#include "base/error.h"
#include "base/json.h"
#include "data/problems/ksat.h"
#include "reward/ksat_answer.h"
#include "test.h"

using namespace temper;

namespace {

// (x1 or x2) and (not x1 or x3) and (not x2 or not x3): satisfied by x1, not x2, x3 and by not x1, x2, not
// x3.
const Json kRecord = {{"formula", {{1, 2}, {-1, 3}, {-2, -3}}}};
const Json kParty = {{"formula", {{1, 2}, {-1, 3}, {-2, -3}}},
                     {"variables", {"Ana", "Ben", "Cleo"}},
                     {"states", {"comes", "stays away"}},
                     {"satisfiable", true}};
const Json kNone = {{"formula", {{1, 2}, {1, -2}, {-1, 2}, {-1, -2}}}};

std::optional<double> ksat_score(const std::string& completion, const Json& columns = kRecord,
                                 double partial = 0) {
  KsatRewardOptions options;
  options.partial = partial;
  RewardItem item;
  item.completion = item.raw_completion = completion;
  item.columns = &columns;
  return options.make()->score({item}).at(0).value;
}

// "10-": x1 is true, x2 false, of x3 nothing is said; "unsatisfiable"; or "".
std::string read(const std::string& text, size_t count = 3) {
  const std::vector<std::string> all = {"x1", "x2", "x3"};
  const auto found = read_ksat_answer(text, {all.begin(), all.begin() + static_cast<long>(count)}, {});
  if (!found) return "";
  if (found->unsatisfiable) return "unsatisfiable";
  std::string out;
  for (const int8_t value : found->values) out += value > 0 ? '1' : value < 0 ? '0' : '-';
  return out;
}

std::string party(const std::string& text) {
  const auto found = read_ksat_answer(text, {"Ana", "Ben", "Cleo"}, {"comes", "stays away"});
  if (!found) return "";
  if (found->unsatisfiable) return "unsatisfiable";
  std::string out;
  for (const int8_t value : found->values) out += value > 0 ? '1' : value < 0 ? '0' : '-';
  return out;
}

}  // namespace

TEST_CASE("ksat: values as they are usually spelled") {
  for (const char* text : {"x1 = true, x2 = false, x3 = true",
                           "x1: T, x2: F, x3: T",
                           "x1=1, x2=0, x3=1",
                           "x1 -> 1; x2 -> 0; x3 -> 1",
                           "X1 = TRUE\nX2 = FALSE\nX3 = TRUE",
                           "x1 is true. x2 is false. x3 is true.",
                           "x1: yes, x2: no, x3: yes",
                           "{\"x1\": true, \"x2\": false, \"x3\": true}",
                           "{\n  \"x1\": true,\n  \"x2\": false,\n  \"x3\": true\n}",
                           "x1 and x3 are true, x2 is false",
                           "x1 = x3 = true, x2 = false",
                           "Set x1 to true, x2 to false and x3 to true.",
                           "| x1 | true |\n| x2 | false |\n| x3 | true |",
                           "- x1: true\n- x2: false\n- x3: true",
                           "* **x1**: true\n* **x2**: false\n* **x3**: true",
                           "1. x1 = true\n2. x2 = false\n3. x3 = true",
                           "$x_1 = \\text{true}, x_2 = \\text{false}, x_{3} = \\text{true}$",
                           "x₁ = 1, x₂ = 0, x₃ = 1",
                           "x_1 = \\top, x_2 = \\bot, x_3 = ⊤",
                           "x1 := true, x2 := false, x3 := true",
                           "x1 → ⊤, x2 → ⊥, x3 → ⊤",
                           "x1 must be true, x2 must be false, x3 must be true",
                           "x1 = true, x2 is not true, x3 is not false",
                           "x1 = true, ¬x2 = true, x3 = true",
                           "(x1, x2, x3) = (T, F, T)",
                           "(x1, x2, x3) = (1, 0, 1)",
                           "x1 true, x2 false, x3 true",
                           "The answer is x1 = true, x2 = false, x3 = true.",
                           "Answer: x1 = true, x2 = false, x3 = true",
                           "<answer>x1 = true, x2 = false, x3 = true</answer>",
                           "\\boxed{x_1 = 1, x_2 = 0, x_3 = 1}",
                           "#### x1: true\nx2: false\nx3: true",
                           "#### x1, ¬x2, x3",
                           "Answer: {x1, ~x2, x3}",
                           "Solution: x1, not x2, x3",
                           "x1 ∧ ¬x2 ∧ x3",
                           "\\boxed{x_1, \\neg x_2, x_3}",
                           "Answer: [x1, -x2, x3]",
                           "Assignment: x1 & !x2 & x3",
                           "#### T, F, T",
                           "<answer>(true, false, true)</answer>",
                           "True: x1, x3\nFalse: x2",
                           "set to true: x1 and x3; set to false: x2",
                           "First x1 = false, x2 = true. That fails, so x1 = true, x2 = false, x3 = true.",
                           "<think>x1 = false, unsatisfiable</think>x1 = true, x2 = false, x3 = true",
                           "x1 = true gives x3 = true. If x2 = true, no clause is left. So x2 = false."}) {
    CAPTURE(text);
    CHECK(read(text) == "101");
    CHECK(ksat_score(text) == 1.0);
  }
  for (const char* text : {"Ana: yes, Ben: no, Cleo: yes", "ana = yes, ben = no, cleo = yes",
                           "Ana comes, Ben stays away, Cleo comes.", "Ana and Cleo: yes. Ben: no.",
                           "Comes: Ana, Cleo\nStays away: Ben", "Answer: Ana, not Ben, Cleo"}) {
    CAPTURE(text);
    CHECK(party(text) == "101");
    CHECK(ksat_score(text, kParty) == 1.0);
  }
}

TEST_CASE("ksat: what says nothing, and what says another thing") {
  for (const char* text : {"", "I do not know.", "x1, x2, x3", "The variables are x1, x2, x3.", "x4 = true",
                           "x1 ∨ ¬x2 ∨ x3", "(x1 or not x2 or x3)", "either x1 = true or x2 = true",
                           "if x1 = true then x3 = true", "<think>x1 = true, x2 = false, x3 = true",
                           "x11 = true, ax1 = true", "T, F, T", "Answer: T, F", "It is not unsatisfiable.",
                           "The formula is satisfiable.", "x1 x2 x3", "\xff\xfe\x80", "no", "true"}) {
    CAPTURE(text);
    CHECK(read(text) == "");
    CHECK(ksat_score(text) == 0.0);
  }
  CHECK(party("Ana comes, or Ben stays away, or Cleo comes.") == "");
  CHECK(read("x1 = true, x3 = false") == "1-0");
  CHECK(read("x1 = true, x1 = false") == "0--");
  CHECK(read("Answer: ¬x1") == "0--");
  CHECK(read("x1 and x2 are false") == "00-");
  CHECK(read("x1 = true. I am sure that x2 is what matters") == "1--");
  CHECK(read("<answer>x1 = false</answer> x2 = true") == "0--");
  CHECK(read("<answer>none</answer> x2 = true") == "-1-");
}

TEST_CASE("ksat: a claim that there are no values") {
  for (const char* text :
       {"unsatisfiable", "UNSAT", "#### Unsatisfiable.", "\\boxed{\\text{unsatisfiable}}",
        "The formula is not satisfiable.", "It cannot be satisfied", "There is no solution.",
        "no satisfying assignment", "x1 = true, x2 = false fails: unsatisfiable"}) {
    CAPTURE(text);
    CHECK(read(text, 2) == "unsatisfiable");
    CHECK(ksat_score(text, kNone) == 1.0);
    CHECK(ksat_score(text, kRecord) == 0.0);
  }
  // Of both the last counts.
  CHECK(read("unsatisfiable? No: x1 = true, x2 = false", 2) == "10");
  CHECK(ksat_score("x1 = true, x2 = false", kNone) == 0.0);
  // The record's verdict is taken where it has one.
  Json told = kNone;
  told["satisfiable"] = true;
  CHECK(ksat_score("unsatisfiable", told) == 0.0);
  told["satisfiable"] = nullptr;
  CHECK(ksat_score("unsatisfiable", told) == 1.0);
}

TEST_CASE("ksat: the score is exact on made problems, every assignment of them") {
  KsatOptions options;
  options.max_variables = 6;
  for (const char* text : {"english", "symbols"}) {
    options.text = text;
    for (int64_t i = 0; i < 60; ++i) {
      const Json record = make_problem(options, 1, false, i, "test");
      const auto formula = record["formula"].get<std::vector<std::vector<int32_t>>>();
      CHECK(ksat_score(record["completion"], record) == 1.0);
      const size_t n = record["variables"].size();
      for (uint64_t row = 0; row < uint64_t{1} << n; ++row) {
        std::string said;
        for (size_t v = 0; v < n; ++v)
          said += fmt::format("{}: {}\n", record["variables"][v].get<std::string>(),
                              (row >> v & 1) != 0 ? "yes" : "no");
        size_t held = 0;
        for (const auto& clause : formula) {
          bool any = false;
          for (const int32_t x : clause) any = any || ((row >> (std::abs(x) - 1) & 1) != 0) == (x > 0);
          held += any ? 1 : 0;
        }
        REQUIRE(ksat_score(said, record) == (held == formula.size() ? 1.0 : 0.0));
        const double share = static_cast<double>(held) / static_cast<double>(formula.size());
        const double wanted = held == formula.size()              ? 1.0
                              : record["satisfiable"].get<bool>() ? 0.4 * share
                                                                  : 0.0;
        REQUIRE(*ksat_score(said, record, 0.4) == doctest::Approx(wanted).epsilon(1e-12));
      }
    }
  }
}

TEST_CASE("ksat: correct and incorrect") {
  KsatRewardOptions options;
  options.correct = 3;
  options.incorrect = -1;
  options.partial = 0.5;
  RewardItem item;
  item.columns = &kRecord;
  item.completion = "x1 = true, x2 = false, x3 = false";  // two of three clauses
  CHECK(*options.make()->score({item})[0].value == doctest::Approx(-1 + 0.5 * 2 / 3 * 4));
  item.completion = "unsatisfiable";
  CHECK(*options.make()->score({item})[0].value == -1);
  item.completion = "x1 = false, x2 = true, x3 = false";
  CHECK(*options.make()->score({item})[0].value == 3);
  CHECK(options.make()->answer(item) == "x1 = false, x2 = true, x3 = false");
  CHECK(options.make()->read(item) ==
        Json{{"answer", "x1 = false, x2 = true, x3 = false"}, {"satisfied", 3}, {"clauses", 3}});
  CHECK(options.make()->each_alone());
}

TEST_CASE("ksat: null where the record cannot be read, and only there") {
  const auto why = [](const Json& columns) {
    return KsatRewardOptions().make()->check(columns).value_or("");
  };
  CHECK(why(kRecord) == "");
  CHECK(why(kParty) == "");
  CHECK(why({{"formula", Json::array()}}) == "");
  const std::pair<Json, const char*> bad[] = {
      {{{"formula", 3}}, "column \"formula\": expected a list of clauses such as"},
      {{{"formula", {1, 2}}}, "column \"formula\": a clause is no list of literals: 1"},
      {{{"formula", {{1, 0}}}}, "expected literals from 1 to 10000 or their negatives, found 0"},
      {{{"formula", {{1, "x"}}}}, "found \"x\""},
      {{{"formula", {{1, 1.5}}}}, "found 1.5"},
      {{{"formula", {{10001}}}}, "found 10001"},
      {{{"formula", {{-10001}}}}, "found -10001"},
      {{{"formula", {{18446744073709551615U}}}}, "found 18446744073709551615"},
      {{{"formula", {{1, 2}}}, {"variables", {"a"}}}, "column \"variables\": 1 names for 2 variables"},
      {{{"formula", {{1}}}, {"variables", "a"}}, "column \"variables\": expected a list of names"},
      {{{"formula", {{1}}}, {"variables", {3}}}, "column \"variables\": expected a list of names"},
      {{{"formula", {{1}}}, {"states", {"on"}}}, "column \"states\": expected two texts"}};
  for (const auto& [columns, reason] : bad) {
    CAPTURE(columns.dump());
    CHECK(why(columns).find(reason) != std::string::npos);
    CHECK_FALSE(ksat_score("x1 = true", columns).has_value());
  }
  CHECK_THROWS_AS(ksat_score("x1 = true", {{"answer", 1}}), UserError);
  CHECK_THROWS_AS(why({{"answer", 1}}), UserError);
}

TEST_CASE("ksat: hostile completions and formulas cost little") {
  const std::clock_t start = std::clock();
  std::string names, lines;
  for (int i = 0; i < 20000; ++i) {
    names += "x1, ";
    lines += "x1 = ~~~!!!((( true | or if\n";
  }
  for (const std::string& text :
       {std::string(1 << 20, '#'), std::string(1 << 20, '<'), std::string(1 << 20, '-'), names, lines,
        "Answer: " + names, names + "= true", std::string(1 << 20, '!'), std::string(1 << 20, '\\')})
    ksat_score(text);
  // A formula of 200 variables in the hardest region: decided, or left open.
  Json clauses = Json::array();
  RandomStream random(1, "hard");
  for (int c = 0; c < 852; ++c) {
    Json& clause = clauses.emplace_back(Json::array());
    const auto order = random.permutation(200);
    for (int l = 0; l < 3; ++l) clause.push_back((order[l] + 1) * (random.below(2) == 0 ? 1 : -1));
  }
  ksat_score("unsatisfiable", {{"formula", clauses}});
  CHECK(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC < 10);
}
