// Propositional formulas in conjunctive normal form, and an exact solver for small ones.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace temper {

// A literal is a number: v is the variable v, counted from 1, and -v its negation. A clause holds when any of
// its literals does, the formula when all of its clauses do.
struct CnfFormula {
  int64_t variables = 0;
  std::vector<std::vector<int32_t>> clauses;
};

// Of each variable: 1 true, -1 false, 0 not said. Variable v stands at v - 1.
using CnfValues = std::vector<int8_t>;

// How many clauses have a literal that the values make true. values: one a variable.
int64_t satisfied_clauses(const CnfFormula& formula, const CnfValues& values);

// Values that make all clauses true, none of them 0; empty when there are none.
struct CnfVerdict {
  bool satisfiable = false;
  CnfValues values;
};

// Depth-first search with unit propagation (Davis, Logemann and Loveland, 1962), branching on the variable
// that stands most in short open clauses (Jeroslow and Wang, 1990). wished: the value that a branch tries
// first, one a variable; empty: true. The same arguments give the same values on every machine. nullopt: more
// than max_decisions branches.
std::optional<CnfVerdict> solve(const CnfFormula& formula, const CnfValues& wished = {},
                                int64_t max_decisions = 1'000'000);

}  // namespace temper
