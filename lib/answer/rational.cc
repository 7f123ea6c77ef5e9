#include "answer/rational.h"

#include <algorithm>
#include <memory>
#include <utility>

namespace temper {

std::optional<Rational> Rational::bounded() && {
  const auto bits = std::max(fmpz_bits(fmpq_numref(value_)), fmpz_bits(fmpq_denref(value_)));
  return bits <= static_cast<uint64_t>(kMaxBits) ? std::optional(std::move(*this)) : std::nullopt;
}

Rational Rational::of(int64_t value) {
  Rational out;
  fmpq_set_si(out.value_, value, 1);
  return out;
}

std::optional<Rational> Rational::from_digits(std::string_view whole, std::string_view fraction) {
  // A zero at either end counts for nothing, and 10^1233 has more than kMaxBits bits.
  while (!whole.empty() && whole.front() == '0') whole.remove_prefix(1);
  while (!fraction.empty() && fraction.back() == '0') fraction.remove_suffix(1);
  if (whole.size() + fraction.size() > 1233) return std::nullopt;
  Rational out;
  const std::string digits = std::string(whole) + std::string(fraction);
  if (digits.empty()) return out;
  fmpz_set_str(fmpq_numref(out.value_), digits.c_str(), 10);
  fmpz_set_ui(fmpq_denref(out.value_), 10);
  fmpz_pow_ui(fmpq_denref(out.value_), fmpq_denref(out.value_), fraction.size());
  fmpq_canonicalise(out.value_);
  return std::move(out).bounded();
}

// w.f(r): (digits of wfr - digits of wf) / (10^|f| (10^|r| - 1)).
std::optional<Rational> Rational::repeating(const std::string& whole, const std::string& fraction,
                                            const std::string& again) {
  if (again.empty() || again.size() > 100 || fraction.size() > 100) return std::nullopt;
  const auto all = from_digits(whole + fraction + again, ""), head = from_digits(whole + fraction, "");
  const auto nines = from_digits(std::string(again.size(), '9') + std::string(fraction.size(), '0'), "");
  if (!all || !head || !nines) return std::nullopt;
  const auto difference = all->plus(head->negated());
  return difference ? difference->over(*nines) : std::nullopt;
}

std::optional<Rational> Rational::plus(const Rational& other) const {
  Rational out;
  fmpq_add(out.value_, value_, other.value_);
  return std::move(out).bounded();
}

std::optional<Rational> Rational::times(const Rational& other) const {
  Rational out;
  fmpq_mul(out.value_, value_, other.value_);
  return std::move(out).bounded();
}

std::optional<Rational> Rational::over(const Rational& other) const {
  if (other.is_zero()) return std::nullopt;
  Rational out;
  fmpq_div(out.value_, value_, other.value_);
  return std::move(out).bounded();
}

std::optional<Rational> Rational::to_power(int64_t exponent) const {
  if (exponent < 0) {
    const auto inverse = of(1).over(*this);
    return inverse && exponent != INT64_MIN ? inverse->to_power(-exponent) : std::nullopt;
  }
  // 0, 1 and -1 alone have powers of any size.
  if (is_zero()) return of(exponent == 0 ? 1 : 0);
  if (fmpz_is_pm1(fmpq_numref(value_)) != 0 && is_integer())
    return of(is_negative() && exponent % 2 != 0 ? -1 : 1);
  const auto bits = std::max(fmpz_bits(fmpq_numref(value_)), fmpz_bits(fmpq_denref(value_)));
  if (exponent > kMaxBits || static_cast<int64_t>(bits - 1) * exponent > kMaxBits) return std::nullopt;
  Rational out;
  fmpq_pow_si(out.value_, value_, exponent);
  return std::move(out).bounded();
}

Rational Rational::negated() const {
  Rational out;
  fmpq_neg(out.value_, value_);
  return out;
}

Rational Rational::numerator() const {
  Rational out;
  fmpz_set(fmpq_numref(out.value_), fmpq_numref(value_));
  return out;
}

Rational Rational::denominator() const {
  Rational out;
  fmpz_set(fmpq_numref(out.value_), fmpq_denref(value_));
  return out;
}

std::optional<int64_t> Rational::to_int64() const {
  if (!is_integer() || fmpz_fits_si(fmpq_numref(value_)) == 0) return std::nullopt;
  return fmpz_get_si(fmpq_numref(value_));
}

std::string Rational::to_string() const {
  const std::unique_ptr<char, decltype(&flint_free)> text(fmpq_get_str(nullptr, 10, value_), &flint_free);
  return text.get();
}

}  // namespace temper
