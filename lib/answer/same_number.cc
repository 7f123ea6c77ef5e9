#include <cmath>

#include "answer/measure.h"
#include "answer/number.h"

namespace temper {
namespace {

// Whether a decimal x is y, which is exact and no integer, but for its last digits.
bool rounds(const Rational& x, const Rational& y, double tolerance) {
  if (tolerance <= 0 || y.is_integer()) return false;
  const auto magnitude = [](const Rational& r) { return r.is_negative() ? r.negated() : r; };
  const auto difference = x.plus(y.negated());
  const auto parts = Rational::of(std::llround(1 / tolerance));
  const auto grown = difference ? magnitude(*difference).times(parts) : std::nullopt;
  const auto room = grown ? magnitude(y).plus(grown->negated()) : std::nullopt;
  return room && !room->is_negative();
}

// In base units, without its own.
std::optional<Number> in_base(Number number, const Measure& unit) {
  number.unit.clear();
  const auto value = number.value.times(unit.factor);
  if (!value) return std::nullopt;
  number.value = *value;
  if (number.scaled) number.scaled = number.scaled->times(unit.factor);
  return number;
}

}  // namespace

bool same_number(const Number& a, const Number& b, double tolerance) {
  if (!a.unit.empty() && !b.unit.empty() && a.unit != b.unit) {
    const auto of_a = known_measure(a.unit), of_b = known_measure(b.unit);
    if (of_a && of_b) {
      if (of_a->dimension != of_b->dimension) return false;
      const auto base_a = in_base(a, *of_a), base_b = in_base(b, *of_b);
      return base_a && base_b && same_number(*base_a, *base_b, tolerance);
    }
  }
  if (a.percent != b.percent && !(a.percent ? b : a).unit.empty()) return false;
  const auto same = [&](const Rational& x, const Rational& y) {
    return x == y || (a.decimal && !b.decimal && rounds(x, y, tolerance)) ||
           (b.decimal && !a.decimal && rounds(y, x, tolerance));
  };
  if (a.scaled && b.scaled) return same(*a.scaled, *b.scaled);
  return same(a.value, b.value) || (a.scaled && same(*a.scaled, b.value)) ||
         (b.scaled && same(a.value, *b.scaled));
}

std::string canonical(const Number& number) {
  return (number.scaled && !number.percent ? *number.scaled : number.value).to_string();
}

}  // namespace temper
