// Exact rationals of bounded size, for comparing answers without rounding.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace temper {

// A non-negative integer, limbs of 32 bits, least significant first, no leading zero limb.
using Natural = std::vector<uint32_t>;

// Always reduced, the denominator positive. Whatever would need more than kMaxBits bits, or has no value (a
// division by zero), is nullopt instead of a number.
class Rational {
 public:
  static constexpr int64_t kMaxBits = 4096;

  Rational() : denominator_{1} {}  // zero
  static Rational of(int64_t value);
  // Decimal digits with an optional fraction: ("12", "50") is 12.50. Only digits may stand in the two
  // strings.
  static std::optional<Rational> from_digits(std::string_view whole, std::string_view fraction);

  std::optional<Rational> plus(const Rational& other) const;
  std::optional<Rational> times(const Rational& other) const;
  std::optional<Rational> over(const Rational& other) const;
  std::optional<Rational> to_power(int64_t exponent) const;  // 0^0 is 1
  Rational negated() const;

  bool is_zero() const { return numerator_.empty(); }
  bool is_negative() const { return negative_; }
  bool is_integer() const { return denominator_.size() == 1 && denominator_[0] == 1; }
  std::optional<int64_t> to_int64() const;  // nullopt unless an integer that fits
  std::string to_string() const;            // "-7", "3/4"
  bool operator==(const Rational& other) const = default;

 private:
  static std::optional<Rational> reduced(bool negative, Natural numerator, Natural denominator);

  bool negative_ = false;
  Natural numerator_, denominator_;
};

}  // namespace temper
