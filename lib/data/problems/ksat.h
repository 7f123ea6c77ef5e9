// Random k-SAT near the ratio of clauses to variables where satisfiable and unsatisfiable formulas are
// equally frequent (4.26 for k = 3), each clause drawn uniformly: k variables of n, each negated or not.
#pragma once

#include "data/problems/problem.h"

namespace temper {

// Columns beside a problem's: "formula" [[1, -2, 3], ...], "variables" (their names), "states" (what true and
// false are called in the text), "satisfiable", "ratio". difficulty: the number of variables.
struct KsatOptions : ProblemOptions {
  int64_t k = 3, min_variables = 4, max_variables = 8;
  double ratio = 4.26;
  std::string verdict = "balanced", text = "english";
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  std::optional<MadeProblem> draw(RandomStream& random, int64_t index) const override;
  std::string advice() const override;
};

}  // namespace temper
