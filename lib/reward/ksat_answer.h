// What a completion says of the variables of a formula.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/problems/cnf.h"

namespace temper {

struct KsatAnswer {
  bool unsatisfiable = false;  // it claims that there are no values
  CnfValues values;            // 0: not said
};

// names: of the variables, a word each; states: what true and false are called beside true, yes and 1, or
// empty. What is read:
//   values      x1 = true, x1: T, x1 -> 1, x1 is false, Ana: yes, Ana comes, {"x1": true}
//   of several  x1 and x3 are true; (x1, x2) = (T, F)
//   lists       x1, ¬x2, not x3; true: x1, x3; (T, F, T) of all in order; at a mark or behind "answer"
//   the claim   unsatisfiable, UNSAT, not satisfiable, cannot be satisfied, no solution
// Letters of any case, x_1 and x_{1} as x1. It is looked for behind the last </think>, there in <answer>
// tags, behind ####, in \boxed{} or behind "answer:"; where none of these says anything, in all of the text.
// Of what is said several times the last counts; sentences with "or" or "if" say nothing. nullopt: nothing
// was said.
std::optional<KsatAnswer> read_ksat_answer(std::string_view text, const std::vector<std::string>& names,
                                           const std::vector<std::string>& states);

}  // namespace temper
