#include "answer/modular.h"

#include <flint/fmpz.h>

namespace temper {
namespace {

using Residue = std::optional<uint64_t>;

uint64_t to_power(uint64_t base, uint64_t exponent) {
  uint64_t out = 1;
  for (; exponent > 0; exponent >>= 1) {
    if ((exponent & 1) != 0) out = field_product(out, base);
    base = field_product(base, base);
  }
  return out;
}

Residue inverse(uint64_t a) {
  return a == 0 ? Residue() : field_inverse(a);
}

Residue of_rational(const Rational& value) {
  const uint64_t over = fmpz_fdiv_ui(fmpq_numref(value.get()), kPrime);
  if (value.is_integer()) return over;
  const Residue under = inverse(fmpz_fdiv_ui(fmpq_denref(value.get()), kPrime));
  return under ? Residue(field_product(over, *under)) : Residue();
}

Residue power(const Expression& e, uint64_t point) {
  const auto exponent = rational_value(e.args[1]);
  if (!exponent || !exponent->is_integer()) return std::nullopt;
  const Residue base = value_mod_prime(e.args[0], point);
  if (!base) return std::nullopt;
  // Fermat: exponents count modulo kPrime - 1, but for those of 0.
  if (*base == 0) return exponent->is_negative() ? Residue() : Residue(exponent->is_zero() ? 1 : 0);
  return to_power(*base, fmpz_fdiv_ui(fmpq_numref(exponent->get()), kPrime - 1));
}

}  // namespace

uint64_t field_product(uint64_t a, uint64_t b) {
  return static_cast<uint64_t>(static_cast<unsigned __int128>(a) * b % kPrime);
}
// By Fermat.
uint64_t field_inverse(uint64_t a) {
  return to_power(a, kPrime - 2);
}

uint64_t coordinate(std::string_view symbol, uint64_t point) {
  uint64_t z = 0x9e3779b97f4a7c15U * (point + 1);
  for (const char c : symbol) z = (z ^ static_cast<uint8_t>(c)) * 0x100000001b3U;
  for (const uint64_t factor : {0xbf58476d1ce4e5b9U, 0x94d049bb133111ebU}) z = (z ^ (z >> 29)) * factor;
  return z ^ (z >> 32);
}

std::optional<uint64_t> value_mod_prime(const Expression& e, uint64_t point) {
  switch (e.op) {
    case Op::kRational:
      return of_rational(e.value);
    case Op::kSymbol:
      return coordinate(e.name, point) % kPrime;
    case Op::kPi:
      return coordinate("\\pi", point) % kPrime;
    case Op::kPower:
      return power(e, point);
    case Op::kNegate: {
      const Residue a = value_mod_prime(e.args[0], point);
      return a ? Residue(*a == 0 ? 0 : kPrime - *a) : a;
    }
    case Op::kDivide: {
      const Residue a = value_mod_prime(e.args[0], point), b = value_mod_prime(e.args[1], point);
      const Residue under = b ? inverse(*b) : Residue();
      return a && under ? Residue(field_product(*a, *under)) : Residue();
    }
    case Op::kAdd:
    case Op::kMultiply: {
      uint64_t out = e.op == Op::kAdd ? 0 : 1;
      for (const Expression& arg : e.args) {
        const Residue a = value_mod_prime(arg, point);
        if (!a) return a;
        out = e.op == Op::kAdd ? (out + *a) % kPrime : field_product(out, *a);
      }
      return out;
    }
    default:
      return std::nullopt;
  }
}

}  // namespace temper
