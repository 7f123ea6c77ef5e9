// Reading numbers as people and LaTeX write them, exactly.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "answer/rational.h"

namespace temper {

struct Number {
  Rational value;                  // of the numeral: 50 for "50%", 3 for "3 million"
  std::optional<Rational> scaled;  // with its percent sign or scale word: 1/2, 3000000
  bool percent = false;
  bool decimal = false;    // has a decimal point, so that it may be rounded
  std::string unit;        // what stands behind it, or a currency before it: "cm^2", "€"
  bool worked_out = true;  // an integer, decimal, scientific notation, mixed number or reduced fraction
};

// Equal as rationals, of units that are both known (answer/measure.h) in the same measure. Where only one of
// the two has a percent sign or a scale word, either of its readings counts: a question about percentages is
// answered by "50" and by "50%". tolerance: relative, of a decimal beside an exact value that is no integer
// (0.333333 beside 1/3).
bool same_number(const Number& a, const Number& b, double tolerance = 0);

// The spelling that equal numbers share, for counting votes.
std::string canonical(const Number& number);

// The text as one number, with at most a currency before it, a unit after it and "x =" in front: integers,
// decimals, 1,234,567 (also with thin spaces, {,} and \,), fractions a/b, \frac, mixed numbers, percentages,
// products, powers, scientific notation, repeating decimals (\overline), signs, \text{...}, $...$. Sums are
// work left undone, not a number; tuples, ranges, variables, roots and pi are not numbers either. nullopt
// then, and for what needs more than Rational::kMaxBits bits.
std::optional<Number> read_number(std::string_view text);

// The number that a sentence states: what stands after the last "=", else the first number. nullopt when it
// stands in a list or has an operator beside it.
std::optional<Number> read_sentence(std::string_view text);

// The last number in running text.
std::optional<Number> read_last(std::string_view text);

}  // namespace temper
