// When an answer is right.
#pragma once

#include <optional>

#include "answer/answer.h"

namespace temper {

// Whether the answer given says what the reference says; nullopt where that cannot be told: text that is
// neither equal nor plainly other words, formulas too large or out of reach of same_expression(). Each kind
// by its rules: sets and lists in any order, tuples and matrices in theirs, intervals and unions by the
// numbers they hold, which inequalities in one variable describe too; equations and inequalities up to a
// factor; units converted where both are known, ignored where one is missing. Kinds that cannot say the same
// are different. tolerance: of decimals, as for same_number().
std::optional<bool> same_answer(const FinalAnswer& reference, const FinalAnswer& given, double tolerance);

}  // namespace temper
