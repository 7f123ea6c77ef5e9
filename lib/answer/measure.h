// Units of measure that answers are given in.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "answer/rational.h"

namespace temper {

struct Measure {
  // Exponents of metre, gram, second, degree, dollar, euro, pound sterling, yen, rupee.
  std::array<int8_t, 9> dimension{};
  Rational factor = Rational::of(1);  // how many of the base units it is
};

// "cm", "square feet", "km/h", "miles per hour", "cm^2" ...; nullopt for what is none of the known ones
// ("apples").
std::optional<Measure> known_measure(std::string_view text);

}  // namespace temper
