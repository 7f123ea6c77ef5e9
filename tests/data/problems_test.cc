#include <fstream>
#include <map>
#include <regex>
#include <set>

#include "base/error.h"
#include "base/json.h"
#include "data/problems/cnf.h"
#include "data/problems/problem.h"
#include "test.h"
#include "told.h"

using namespace temper;

namespace {

struct Section : Fields {
  ProblemSource source;
  void fields(FieldVisitor& v) override { v.section("make", source, "problems"); }
};

Json of_kind(const std::string& kind, Json json = Json::object()) {
  json["kind"] = kind;
  return json;
}

std::vector<Json> made(const Json& json, int64_t count, uint64_t seed = 1, bool held_out = false) {
  Section section;
  read_fields(section, {{"make", json}}, "c", "");
  std::vector<Json> out;
  for (int64_t i = 0; i < count; ++i)
    out.push_back(make_problem(*section.source.options, seed, held_out, i, "data.make"));
  return out;
}

std::string problems_of(const Json& json) {
  try {
    made(json, 4);
  } catch (const UserError& e) {
    return e.what();
  }
  return "";
}

std::vector<std::string> split(const std::string& text, const std::string& by) {
  std::vector<std::string> out;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(by, at), text.size());
    out.push_back(text.substr(at, end - at));
    at = end + by.size();
  }
  return out;
}

// The clauses that a text of numbered sentences or of symbols says.
std::vector<std::vector<int32_t>> clauses_of(const Json& record) {
  std::vector<std::vector<int32_t>> out;
  std::map<std::string, int32_t> number;
  for (const auto& name : record["variables"]) number.emplace(name, static_cast<int32_t>(number.size() + 1));
  auto lines = split(record["question"], "\n");
  for (size_t l = 1; l + 1 < lines.size(); ++l) {
    std::string line = lines[l];
    auto& clause = out.emplace_back();
    const bool english = has(line, ". ");
    if (english) line = line.substr(line.find(". ") + 2, line.size() - line.find(". ") - 3);
    for (std::string part : split(line, english ? ", or " : " ∨ ")) {
      int32_t sign = 1;
      if (english) {
        if (part.starts_with("the ") || part.starts_with("The ")) part = part.substr(4);
        const std::string state = part.substr(part.find(' ') + 1);
        REQUIRE((state == record["states"][0] || state == record["states"][1]));
        sign = state == record["states"][0] ? 1 : -1;
        part = part.substr(0, part.find(' '));
      } else if (part.starts_with("¬")) {
        sign = -1;
        part = part.substr(std::string("¬").size());
      }
      REQUIRE(number.count(part) == 1);
      clause.push_back(sign * number[part]);
    }
  }
  return out;
}

}  // namespace

TEST_CASE("problems: the same bytes as ever, alone and among others") {
  std::ifstream golden(test_file("data/golden/problems.jsonl"));
  int64_t count = 0;
  for (std::string line; std::getline(golden, line); ++count) {
    const Json row = parse_json(line, "golden");
    CAPTURE(count);
    const auto all = made(row["make"], row["index"].get<int64_t>() + 1, row["seed"], row["held_out"]);
    CHECK(dump_line(all.back()) == dump_line(row["record"]));
  }
  CHECK(count == 16);
}

TEST_CASE("problems: held-out ones are never among the others, for any seed") {
  for (const Json& kind :
       {of_kind("word_problems", {{"max_steps", 1}, {"max_number", 8}}), of_kind("word_problems"),
        of_kind("ksat", {{"max_variables", 4}, {"text", "symbols"}}),
        of_kind(
            "ksat",
            {{"k", 2}, {"min_variables", 2}, {"max_variables", 3}, {"ratio", 1}, {"verdict", "drawn"}})}) {
    CAPTURE(kind.dump());
    const auto content = [](const Json& record) {
      if (!record.contains("formula")) return record["question"].dump();
      std::set<std::set<int32_t>> clauses;
      for (const Json& clause : record["formula"]) clauses.insert(clause.get<std::set<int32_t>>());
      return Json(clauses).dump();
    };
    std::set<std::string> training;
    for (const uint64_t seed : {1, 2})
      for (const Json& record : made(kind, 2000, seed)) training.insert(content(record));
    CHECK(training.size() > (kind.contains("k") ? 50 : 1000));
    for (const uint64_t seed : {1, 3})
      for (const Json& record : made(kind, 500, seed, true)) REQUIRE(training.count(content(record)) == 0);
  }
}

TEST_CASE("problems: a formula's text says its clauses, and the verdict is that of the table") {
  for (const std::string text : {"english", "symbols"}) {
    for (const Json& record : made(of_kind("ksat", {{"text", text}, {"max_variables", 10}}), 400)) {
      CHECK(Json(clauses_of(record)) == record["formula"]);
      CHECK(record["prompt"] == record["question"].get<std::string>() + "\n");
      const CnfFormula formula{record["difficulty"],
                               record["formula"].get<std::vector<std::vector<int32_t>>>()};
      CHECK(record["variables"].size() == record["difficulty"]);
      CHECK(record["ratio"].get<double>() == doctest::Approx(4.26).epsilon(0.03));
      bool any = false;
      for (uint64_t row = 0; !any && row < uint64_t{1} << formula.variables; ++row) {
        CnfValues values;
        for (int64_t v = 0; v < formula.variables; ++v) values.push_back((row >> v & 1) != 0 ? 1 : -1);
        any = satisfied_clauses(formula, values) == static_cast<int64_t>(formula.clauses.size());
      }
      CHECK(record["satisfiable"] == any);
      CHECK((record["completion"] == "unsatisfiable") == !any);
      for (const auto& clause : formula.clauses) {
        std::set<int32_t> variables;
        for (const int32_t literal : clause) variables.insert(std::abs(literal));
        CHECK(variables.size() == 3);
      }
    }
  }
}

TEST_CASE("problems: verdicts as asked for, sizes alike") {
  const auto satisfiable = [](const Json& json) {
    int64_t count = 0;
    for (const Json& record : made(json, 300)) count += record["satisfiable"].get<bool>() ? 1 : 0;
    return count;
  };
  CHECK(satisfiable(of_kind("ksat")) == 150);
  CHECK(satisfiable(of_kind("ksat", {{"verdict", "satisfiable"}})) == 300);
  const int64_t drawn = satisfiable(
      of_kind("ksat", {{"verdict", "drawn"}, {"min_variables", 30}, {"max_variables", 30}, {"ratio", 4.46}}));
  CHECK(std::abs(static_cast<double>(drawn) - 150) < 35);  // four standard errors
  std::map<int64_t, int64_t> sizes;
  for (const Json& record : made(of_kind("ksat"), 1000)) ++sizes[record["difficulty"]];
  CHECK(sizes.size() == 5);
  for (const auto& [size, count] : sizes) CHECK(std::abs(static_cast<double>(count) - 200) < 52);
}

TEST_CASE("problems: a story's equations are true, and lead from its numbers to its answer") {
  const std::regex number("\\d+"), equation("(\\d+) ([-+*/]) (\\d+) = (\\d+) ([a-z ]+)");
  std::map<char, int64_t> operations;
  std::map<int64_t, int64_t> steps_of;
  for (const Json& record : made(of_kind("word_problems", {{"max_steps", 6}, {"max_number", 60}}), 3000)) {
    const std::string question = record["question"], solution = record["answer"];
    CAPTURE(question);
    CAPTURE(solution);
    CHECK(record["completion"] == solution);
    const auto lines = split(solution, "\n");
    CHECK(lines.size() == record["difficulty"].get<size_t>() + 1);
    ++steps_of[record["difficulty"]];
    std::set<std::string> known;  // numbers that the text or a line above says
    for (std::sregex_iterator n(question.begin(), question.end(), number), end; n != end; ++n)
      known.insert(n->str());
    if (has(question, "twice")) known.insert("2");
    std::string result;
    for (size_t l = 0; l + 1 < lines.size(); ++l) {
      std::smatch m;
      REQUIRE(std::regex_search(lines[l], m, equation));
      const int64_t a = std::stol(m[1]), b = std::stol(m[3]), r = std::stol(m[4]);
      const char sign = m[2].str()[0];
      ++operations[sign];
      CHECK((sign == '+' ? a + b == r : sign == '-' ? a - b == r : sign == '*' ? a * b == r : a == b * r));
      for (const int64_t n : {a, b, r}) CHECK((n >= 1 && n <= 60));
      CHECK(known.count(m[1]) == 1);
      CHECK(known.count(m[3]) == 1);
      if (l > 0) CHECK((m[1] == result || m[3] == result));
      result = m[4];
      known.insert(result);
    }
    CHECK(lines.back() == "#### " + result);
    for (const std::string& text : {question, solution}) {
      CHECK_FALSE(std::regex_search(text, std::regex("\\b1 (more |fewer )?[a-z]+s\\b")));
      CHECK_FALSE(std::regex_search(
          text, std::regex("\\b([02-9]|\\d\\d+) (more |fewer )?(apple|box|dollar|berry)\\b")));
    }
  }
  for (const char sign : {'+', '-', '*', '/'}) CHECK(operations[sign] > 1000);
  for (int64_t steps = 1; steps <= 6; ++steps)
    CHECK(std::abs(static_cast<double>(steps_of[steps]) - 500) < 90);
}

TEST_CASE("problems: only the operations that are allowed") {
  for (const auto& [name, sign] :
       {std::pair("add", " + "), {"subtract", " - "}, {"multiply", " * "}, {"divide", " / "}}) {
    const Json json =
        of_kind("word_problems", {{"operations", {name}}, {"max_steps", 3}, {"max_number", 1000}});
    for (const Json& record : made(json, 100)) {
      const auto lines = split(record["answer"], "\n");
      for (size_t l = 0; l + 1 < lines.size(); ++l) CHECK(has(lines[l], sign));
    }
  }
}

TEST_CASE("problems: records of a source") {
  Section section;
  read_fields(section, {{"make", of_kind("word_problems", {{"count", 3}, {"seed", 5}})}}, "c", "");
  const auto records = make_problems(section.source, false, "data.make");
  REQUIRE(records.size() == 3);
  CHECK(records[2].where() == "data.make:3");
  CHECK(record_kind(records[2]) == RecordKind::kPromptCompletion);
  CHECK(records[2].json == made(of_kind("word_problems"), 3, 5)[2]);
  CHECK(records[2].json != make_problems(section.source, true, "data.make_eval")[2].json);
  Section none;
  read_fields(none, Json::object(), "c", "");
  CHECK_FALSE(none.source.on());
  CHECK(dump_fields(none) == Json::object());
}

TEST_CASE("problems: what cannot be made is told in a line") {
  CHECK(has(problems_of(of_kind("ksta")),
            "c: make.kind: expected one of ksat, word_problems, found \"ksta\"; did you mean \"ksat\"?"));
  CHECK(
      has(problems_of(of_kind("ksat", {{"ratoi", 4}})), "make.ratoi: unknown key; did you mean \"ratio\"?"));
  CHECK(has(problems_of(of_kind("ksat", {{"min_variables", 9}})),
            "make.max_variables: 8 is below min_variables 9"));
  CHECK(has(problems_of(of_kind("ksat", {{"k", 5}})),
            "make.k: a clause has 5 different variables, min_variables is 4"));
  CHECK(has(problems_of(of_kind("ksat", {{"ratio", 7}})),
            "make.ratio: 4 variables would have 28 clauses, more than three in four of the 32"));
  CHECK(has(problems_of(of_kind("ksat", {{"max_variables", 31}})),
            "make.max_variables: the scenes have names for 30"));
  CHECK(has(problems_of(of_kind("ksat", {{"ratio", 0.5}})),
            "data.make: 400 draws gave no problem 2 of this kind: change ratio 0.5"));
  CHECK(has(problems_of(of_kind("word_problems", {{"min_steps", 5}})),
            "make.max_steps: 4 is below min_steps 5"));
  CHECK(has(problems_of(of_kind("word_problems", {{"operations", {"add", "times"}}})),
            "make.operations: expected some of add, subtract, multiply, divide, found \"times\""));
  CHECK(has(problems_of(of_kind("word_problems", {{"operations", Json::array()}})), "make.operations: none"));
  CHECK(has(problems_of(
                of_kind("word_problems", {{"operations", {"divide"}}, {"max_number", 8}, {"min_steps", 4}})),
            "data.make: 400 draws gave no problem 1 of this kind: lower max_steps 4"));
  CHECK(problems_of(of_kind("word_problems")) == "");
}
