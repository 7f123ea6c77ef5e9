// Sets of real numbers: intervals, unions of them, finite sets, and the inequalities that describe them.
#pragma once

#include <optional>

#include "answer/answer.h"
#include "answer/work.h"

namespace temper {

FinalAnswer all_reals();

// A set of reals without the members of a finite set; nullopt when it is none of that kind.
std::optional<FinalAnswer> without(const FinalAnswer& from, const FinalAnswer& points);

// x > 3, 1 < x <= 2, x != 0 and lists of them ("x < 1 or x > 3") as the set of the one symbol's values;
// nullopt for other inequalities.
std::optional<FinalAnswer> solution_set(const FinalAnswer& inequality);

// Whether two intervals, unions, open pairs or finite sets hold the same numbers; nullopt when an end is no
// real constant.
std::optional<bool> same_reals(const FinalAnswer& a, const FinalAnswer& b, Work& work);

}  // namespace temper
