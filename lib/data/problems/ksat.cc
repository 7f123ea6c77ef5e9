#include "data/problems/ksat.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "base/error.h"
#include "data/problems/cnf.h"
#include "data/problems/ksat_text.h"

namespace temper {
namespace {

using Clause = std::vector<int32_t>;

int64_t clause_count(double ratio, int64_t variables) {
  return std::max<int64_t>(1, std::lround(ratio * static_cast<double>(variables)));
}

// How many different clauses of k of the variables there are, up to a million.
int64_t different_clauses(int64_t k, int64_t variables) {
  double count = 1;
  for (int64_t i = 0; i < k; ++i)
    count = count * static_cast<double>(variables - i) / static_cast<double>(i + 1);
  return static_cast<int64_t>(std::min(std::round(count) * std::ldexp(1, static_cast<int>(k)), 1e6));
}

// Its clauses are different from each other, as a text that says a thing twice would look odd.
CnfFormula random_formula(int64_t k, int64_t variables, int64_t clauses, RandomStream& random) {
  CnfFormula out{variables, {}};
  std::vector<int32_t> all(static_cast<size_t>(variables));
  std::iota(all.begin(), all.end(), 1);
  std::set<Clause> seen;
  while (static_cast<int64_t>(out.clauses.size()) < clauses) {
    Clause clause;
    for (int64_t i = 0; i < k; ++i) {
      std::swap(all[static_cast<size_t>(i)],
                all[static_cast<size_t>(i) + random.below(static_cast<uint64_t>(variables - i))]);
      clause.push_back(random.below(2) == 0 ? all[static_cast<size_t>(i)] : -all[static_cast<size_t>(i)]);
    }
    Clause sorted = clause;
    std::sort(sorted.begin(), sorted.end());
    if (seen.insert(sorted).second) out.clauses.push_back(std::move(clause));
  }
  return out;
}

std::string content_of(const CnfFormula& formula) {
  std::set<Clause> clauses;
  for (Clause clause : formula.clauses) {
    std::sort(clause.begin(), clause.end());
    clauses.insert(std::move(clause));
  }
  return Json(clauses).dump();
}

}  // namespace

void KsatOptions::fields(FieldVisitor& v) {
  v.field("k", k, {.help = "variables of a clause", .min = 1, .max = 10});
  v.field("min_variables", min_variables, {.help = "of a formula, the difficulty", .min = 2, .max = 60});
  v.field("max_variables", max_variables,
          {.help = "of a formula; each number in between is equally likely", .min = 2, .max = 60});
  v.field(
      "ratio", ratio,
      {.help = "clauses by variables; near 4.26 formulas with k = 3 are hardest", .min = 0.1, .max = 100});
  v.field("verdict", verdict,
          {.help = "satisfiable alone; balanced: satisfiable and unsatisfiable in turn; or as drawn",
           .choices = {"satisfiable", "balanced", "drawn"}});
  v.field("text", text, {.help = "a scene in English, or symbols", .choices = {"english", "symbols"}});
}

void KsatOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  if (max_variables < min_variables) {
    problems.push_back(
        fmt::format("{}.max_variables: {} is below min_variables {}", where, max_variables, min_variables));
  }
  if (k > min_variables) {
    problems.push_back(fmt::format("{}.k: a clause has {} different variables, min_variables is {}", where, k,
                                   min_variables));
    return;
  }
  const int64_t wanted = clause_count(ratio, min_variables), there = different_clauses(k, min_variables);
  if (4 * wanted > 3 * there) {
    problems.push_back(fmt::format(
        "{}.ratio: {} variables would have {} clauses, more than three in four of the {} there are; "
        "lower it or raise min_variables",
        where, min_variables, wanted, there));
  }
  if (text == "english" && max_variables > ksat_english_names()) {
    problems.push_back(
        fmt::format("{}.max_variables: the scenes have names for {}; lower it, or set text to "
                    "\"symbols\"",
                    where, ksat_english_names()));
  }
}

std::string KsatOptions::advice() const {
  return fmt::format(
      "change ratio {} or the numbers of variables, or set verdict to \"drawn\": hardly any formula here is "
      "{}",
      ratio, verdict == "satisfiable" ? "satisfiable" : "satisfiable, or hardly any unsatisfiable");
}

std::optional<MadeProblem> KsatOptions::draw(RandomStream& random, int64_t index) const {
  constexpr int kFormulas = 100;
  const int64_t variables =
      min_variables +
      static_cast<int64_t>(random.below(static_cast<uint64_t>(max_variables - min_variables + 1)));
  const bool wanted = verdict == "satisfiable" || index % 2 == 0;
  CnfFormula formula;
  CnfVerdict found;
  for (int i = 0;; ++i) {
    if (i == kFormulas) return std::nullopt;
    formula = random_formula(k, variables, clause_count(ratio, variables), random);
    CnfValues wished;  // so that the values of the worked answer lean to neither side
    for (int64_t v = 0; v < variables; ++v) wished.push_back(random.below(2) == 0 ? 1 : -1);
    found = *solve(formula, wished, INT64_MAX);
    if (verdict == "drawn" || found.satisfiable == wanted) break;
  }
  const KsatText text_of = text == "english" ? ksat_english(formula, random) : ksat_symbols(formula);
  MadeProblem out;
  out.content = content_of(formula);
  out.columns = {{"question", text_of.question},
                 {"completion", found.satisfiable ? ksat_answer(text_of, found.values) : "unsatisfiable"},
                 {"formula", formula.clauses},
                 {"variables", text_of.names},
                 {"states", text_of.states},
                 {"satisfiable", found.satisfiable},
                 {"difficulty", variables},
                 {"ratio", static_cast<double>(formula.clauses.size()) / static_cast<double>(variables)}};
  return out;
}

}  // namespace temper
