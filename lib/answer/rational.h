// Exact rationals of bounded size, for comparing answers without rounding; FLINT's fmpq.
#pragma once

#include <flint/fmpq.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace temper {

// Always reduced, the denominator positive. Whatever would need more than kMaxBits bits, or has no value (a
// division by zero), is nullopt instead of a number.
class Rational {
 public:
  static constexpr int64_t kMaxBits = 4096;

  Rational() { fmpq_init(value_); }  // zero
  Rational(const Rational& other) : Rational() { fmpq_set(value_, other.value_); }
  Rational(Rational&& other) noexcept : Rational() { fmpq_swap(value_, other.value_); }
  Rational& operator=(Rational other) noexcept {
    fmpq_swap(value_, other.value_);
    return *this;
  }
  ~Rational() { fmpq_clear(value_); }

  static Rational of(int64_t value);
  // Decimal digits with an optional fraction: ("12", "50") is 12.50. Only digits may stand in the two
  // strings.
  static std::optional<Rational> from_digits(std::string_view whole, std::string_view fraction);

  // The digits of `again` for ever behind those two: ("0", "1", "6") is 0.1666... At most 100 digits behind
  // the point.
  static std::optional<Rational> repeating(const std::string& whole, const std::string& fraction,
                                           const std::string& again);

  std::optional<Rational> plus(const Rational& other) const;
  std::optional<Rational> times(const Rational& other) const;
  std::optional<Rational> over(const Rational& other) const;
  std::optional<Rational> to_power(int64_t exponent) const;  // 0^0 is 1
  Rational negated() const;
  Rational numerator() const;
  Rational denominator() const;

  bool is_zero() const { return fmpq_is_zero(value_) != 0; }
  bool is_negative() const { return fmpq_sgn(value_) < 0; }
  bool is_integer() const { return fmpz_is_one(fmpq_denref(value_)) != 0; }
  std::optional<int64_t> to_int64() const;  // nullopt unless an integer that fits
  std::string to_string() const;            // "-7", "3/4"
  bool operator==(const Rational& other) const { return fmpq_equal(value_, other.value_) != 0; }
  const fmpq* get() const { return value_; }

 private:
  std::optional<Rational> bounded() &&;

  fmpq_t value_;
};

}  // namespace temper
