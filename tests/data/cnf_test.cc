#include "data/problems/cnf.h"

#include <cstdlib>

#include "base/file.h"
#include "base/json.h"
#include "base/random.h"
#include "test.h"

using namespace temper;

namespace {

// Clauses of one to `longest` literals, the same variable twice in some.
CnfFormula drawn(RandomStream& random, int64_t variables, int64_t clauses, int64_t longest) {
  CnfFormula out{variables, {}};
  for (int64_t c = 0; c < clauses; ++c) {
    auto& clause = out.clauses.emplace_back();
    const auto length = 1 + random.below(static_cast<uint64_t>(longest));
    for (uint64_t i = 0; i < length; ++i) {
      const auto variable = static_cast<int32_t>(1 + random.below(static_cast<uint64_t>(variables)));
      clause.push_back(random.below(2) == 0 ? variable : -variable);
    }
  }
  return out;
}

bool every_clause_holds(const CnfFormula& formula, uint64_t row) {
  for (const auto& clause : formula.clauses) {
    bool any = false;
    for (const int32_t literal : clause)
      any = any || ((row >> (std::abs(literal) - 1) & 1) != 0) == (literal > 0);
    if (!any) return false;
  }
  return true;
}

bool by_all_rows(const CnfFormula& formula) {
  for (uint64_t row = 0; row < uint64_t{1} << formula.variables; ++row)
    if (every_clause_holds(formula, row)) return true;
  return false;
}

// The share of n formulas that have values.
double satisfiable_share(int64_t variables, double ratio, int64_t n) {
  int64_t count = 0;
  for (int64_t i = 0; i < n; ++i) {
    RandomStream random(3, "threshold", static_cast<uint64_t>(variables), static_cast<uint64_t>(i));
    CnfFormula formula{variables, {}};
    for (int64_t c = 0; c < std::lround(ratio * static_cast<double>(variables)); ++c) {
      auto& clause = formula.clauses.emplace_back();
      const auto order = random.permutation(variables);
      for (int l = 0; l < 3; ++l) {
        const auto variable = static_cast<int32_t>(order[l] + 1);
        clause.push_back(random.below(2) == 0 ? variable : -variable);
      }
    }
    count += solve(formula)->satisfiable ? 1 : 0;
  }
  return static_cast<double>(count) / static_cast<double>(n);
}

}  // namespace

TEST_CASE("cnf: the verdicts on thousands of small formulas are those of all rows of the table") {
  int64_t satisfiable = 0;
  for (uint64_t i = 0; i < 6000; ++i) {
    RandomStream random(1, "small formulas", 0, i);
    const auto variables = static_cast<int64_t>(1 + random.below(8));
    const auto formula = drawn(random, variables, static_cast<int64_t>(random.below(36)), 1 + i % 4);
    CnfValues wished;
    for (int64_t v = 0; v < variables; ++v) wished.push_back(random.below(2) == 0 ? 1 : -1);
    const auto verdict = solve(formula, wished);
    REQUIRE(verdict.has_value());
    REQUIRE(verdict->satisfiable == by_all_rows(formula));
    if (!verdict->satisfiable) {
      REQUIRE(verdict->values.empty());
      continue;
    }
    ++satisfiable;
    uint64_t row = 0;
    for (size_t v = 0; v < verdict->values.size(); ++v) {
      REQUIRE(std::abs(verdict->values[v]) == 1);
      row |= verdict->values[v] > 0 ? uint64_t{1} << v : 0;
    }
    REQUIRE(every_clause_holds(formula, row));
    REQUIRE(satisfied_clauses(formula, verdict->values) == static_cast<int64_t>(formula.clauses.size()));
  }
  CHECK(satisfiable > 1000);
  CHECK(satisfiable < 5000);
}

TEST_CASE("cnf: larger formulas, as CaDiCaL decides them") {
  for (const Json& row : read_json_file(test_file("data/golden/cnf.json"))) {
    const CnfFormula formula{row["variables"], row["clauses"].get<std::vector<std::vector<int32_t>>>()};
    const auto verdict = solve(formula);
    REQUIRE(verdict.has_value());
    CHECK(verdict->satisfiable == row["satisfiable"].get<bool>());
  }
}

TEST_CASE("cnf: half of the formulas are satisfiable where Crawford and Auton found them to be") {
  // Artificial Intelligence 81 (1996): at a ratio of 4.258 + 58.26 n^(-5/3).
  for (const int64_t n : {20, 30, 50}) {
    CAPTURE(n);
    const double ratio = 4.258 + 58.26 * std::pow(static_cast<double>(n), -5.0 / 3);
    CHECK(std::abs(satisfiable_share(n, ratio, 600) - 0.5) < 0.08);  // four standard errors
  }
  CHECK(satisfiable_share(30, 3.0, 100) > 0.95);
  CHECK(satisfiable_share(30, 6.5, 100) < 0.05);
}

TEST_CASE("cnf: edges") {
  CHECK(solve({0, {}})->satisfiable);
  CHECK_FALSE(solve({0, {{}}})->satisfiable);
  CHECK_FALSE(solve({2, {{1, 2}, {}}})->satisfiable);
  CHECK_FALSE(solve({1, {{1}, {-1}}})->satisfiable);
  CHECK(solve({1, {{1, -1}}})->satisfiable);
  CHECK(solve({2, {{1, 2}}}, {-1, -1})->values == CnfValues{-1, 1});
  CHECK(solve({3, {}}, {1, -1, 1})->values == CnfValues{1, -1, 1});  // what no clause asks for is as wished
  const CnfFormula chain{3, {{1, 2}, {-1, 2}, {-2, 3}}};
  CHECK(solve(chain)->values == CnfValues{1, 1, 1});
  CHECK_FALSE(solve(chain, {}, 0).has_value());
  CHECK(satisfied_clauses(chain, {0, 0, 0}) == 0);
  CHECK(satisfied_clauses(chain, {1, 0, -1}) == 1);
  CHECK_THROWS_AS(satisfied_clauses(chain, {1}), std::logic_error);
}
