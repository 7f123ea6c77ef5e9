// Rational functions at random points of a prime field.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "answer/expression.h"

namespace temper {

constexpr uint64_t kPrime = (uint64_t{1} << 61) - 1;

// a * b and, for a that is not 0, 1 / a in that field.
uint64_t field_product(uint64_t a, uint64_t b);
uint64_t field_inverse(uint64_t a);

// A number that looks random, of a symbol and the point's index; for all symbols and points the same on every
// machine.
uint64_t coordinate(std::string_view symbol, uint64_t point);

// The value modulo kPrime of a formula in symbols, rationals and pi (a symbol too, since it is
// transcendental), where the symbols have their coordinates of that point; nullopt for other formulas and
// where it has no value. Rational functions that differ have different values at a random point but with a
// chance of degree / 2^61.
std::optional<uint64_t> value_mod_prime(const Expression& e, uint64_t point);

}  // namespace temper
