// When two formulas are one.
#pragma once

#include <optional>

#include "answer/expression.h"
#include "answer/work.h"

namespace temper {

// Rationals are compared exactly; rational functions at eight random points of a prime field, where differing
// ones agree by a chance below 2^-400; all others in ball arithmetic: different as soon as the balls of one
// point have nothing in common (which proves it), equal when they meet at sixteen points with 300 bits.
// nullopt: neither could be shown, because of too few points where both have a value, of a value of which not
// enough is known, of a logarithm whose base matters and is not given, or because `work` is spent. tolerance:
// relative, of a constant with a decimal point beside an exact one that is no integer.
std::optional<bool> same_expression(const Expression& a, const Expression& b, double tolerance, Work& work);

// The sign of a - b, of real constants and infinities.
std::optional<int> order(const Expression& a, const Expression& b, Work& work);

// Whether a = c * b for one constant c that is not 0 (and not negative, where `positive`), so that a = 0 and
// b = 0 say the same.
std::optional<bool> proportional(const Expression& a, const Expression& b, bool positive, Work& work);

}  // namespace temper
