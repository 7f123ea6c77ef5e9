#include "reward/rational.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace temper {
namespace {

// Schoolbook arithmetic: sizes are bounded by a few times Rational::kMaxBits, so nothing faster is needed.

void trim(Natural& a) {
  while (!a.empty() && a.back() == 0) a.pop_back();
}

int64_t bits(const Natural& a) {
  return a.empty() ? 0 : static_cast<int64_t>(a.size()) * 32 - std::countl_zero(a.back());
}

int compare(const Natural& a, const Natural& b) {
  if (a.size() != b.size()) return a.size() < b.size() ? -1 : 1;
  for (size_t i = a.size(); i-- > 0;) {
    if (a[i] != b[i]) return a[i] < b[i] ? -1 : 1;
  }
  return 0;
}

Natural add(const Natural& a, const Natural& b) {
  Natural out;
  uint64_t carry = 0;
  for (size_t i = 0; i < std::max(a.size(), b.size()) || carry != 0; ++i) {
    carry += (i < a.size() ? a[i] : 0ULL) + (i < b.size() ? b[i] : 0ULL);
    out.push_back(static_cast<uint32_t>(carry));
    carry >>= 32;
  }
  return out;
}

// a -= b, for b <= a.
void subtract(Natural& a, const Natural& b) {
  int64_t borrow = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    int64_t digit = static_cast<int64_t>(a[i]) - (i < b.size() ? b[i] : 0) - borrow;
    borrow = digit < 0 ? 1 : 0;
    if (digit < 0) digit += int64_t{1} << 32;
    a[i] = static_cast<uint32_t>(digit);
  }
  trim(a);
}

Natural multiply(const Natural& a, const Natural& b) {
  Natural out(a.size() + b.size(), 0);
  for (size_t i = 0; i < a.size(); ++i) {
    uint64_t carry = 0;
    for (size_t j = 0; j < b.size() || carry != 0; ++j) {
      carry += out[i + j] + (j < b.size() ? static_cast<uint64_t>(a[i]) * b[j] : 0);
      out[i + j] = static_cast<uint32_t>(carry);
      carry >>= 32;
    }
  }
  trim(out);
  return out;
}

void shift_right(Natural& a, int64_t count) {
  const size_t limbs = static_cast<size_t>(count / 32);
  const int rest = static_cast<int>(count % 32);
  a.erase(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(std::min(limbs, a.size())));
  if (rest != 0) {
    for (size_t i = 0; i < a.size(); ++i) {
      a[i] = (a[i] >> rest) | (i + 1 < a.size() ? a[i + 1] << (32 - rest) : 0);
    }
  }
  trim(a);
}

Natural shift_left(const Natural& a, int64_t count) {
  Natural out(static_cast<size_t>(count / 32), 0);
  const int rest = static_cast<int>(count % 32);
  uint32_t carry = 0;
  for (const uint32_t limb : a) {
    out.push_back((limb << rest) | carry);
    carry = rest == 0 ? 0 : limb >> (32 - rest);
  }
  out.push_back(carry);
  trim(out);
  return out;
}

int64_t trailing_zeros(const Natural& a) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] != 0) return static_cast<int64_t>(i) * 32 + std::countr_zero(a[i]);
  }
  return 0;
}

// Stein's binary algorithm: shifts and subtractions only.
Natural gcd(Natural a, Natural b) {
  if (a.empty()) return b;
  if (b.empty()) return a;
  const int64_t common = std::min(trailing_zeros(a), trailing_zeros(b));
  shift_right(a, trailing_zeros(a));
  while (!b.empty()) {
    shift_right(b, trailing_zeros(b));
    if (compare(a, b) > 0) std::swap(a, b);
    subtract(b, a);
  }
  return shift_left(a, common);
}

// a / b for b that divides a or not: the quotient, by long division bit by bit.
Natural divide(const Natural& a, const Natural& b) {
  if (b.size() == 1) {
    Natural out(a.size(), 0);
    uint64_t rest = 0;
    for (size_t i = a.size(); i-- > 0;) {
      rest = (rest << 32) | a[i];
      out[i] = static_cast<uint32_t>(rest / b[0]);
      rest %= b[0];
    }
    trim(out);
    return out;
  }
  Natural out(a.size(), 0), rest = a;
  for (int64_t shift = bits(a) - bits(b); shift >= 0; --shift) {
    const Natural part = shift_left(b, shift);
    if (compare(rest, part) < 0) continue;
    subtract(rest, part);
    out[static_cast<size_t>(shift / 32)] |= uint32_t{1} << (shift % 32);
  }
  trim(out);
  return out;
}

Natural from_uint64(uint64_t value) {
  Natural out{static_cast<uint32_t>(value), static_cast<uint32_t>(value >> 32)};
  trim(out);
  return out;
}

Natural from_decimal(std::string_view digits) {
  Natural out;
  for (const char c : digits) {
    uint64_t carry = static_cast<uint64_t>(c - '0');
    for (uint32_t& limb : out) {
      carry += static_cast<uint64_t>(limb) * 10;
      limb = static_cast<uint32_t>(carry);
      carry >>= 32;
    }
    if (carry != 0) out.push_back(static_cast<uint32_t>(carry));
  }
  return out;
}

std::string to_decimal(Natural a) {
  std::string out;
  while (!a.empty()) {
    uint64_t rest = 0;
    for (size_t i = a.size(); i-- > 0;) {
      rest = (rest << 32) | a[i];
      a[i] = static_cast<uint32_t>(rest / 1000000000);
      rest %= 1000000000;
    }
    trim(a);
    for (int i = 0; i < 9 && !(a.empty() && rest == 0); ++i) {
      out += static_cast<char>('0' + rest % 10);
      rest /= 10;
    }
  }
  std::reverse(out.begin(), out.end());
  return out.empty() ? "0" : out;
}

}  // namespace

std::optional<Rational> Rational::reduced(bool negative, Natural numerator, Natural denominator) {
  if (denominator.empty()) return std::nullopt;
  if (!(denominator.size() == 1 && denominator[0] == 1)) {
    const Natural common = gcd(numerator, denominator);
    if (!(common.size() == 1 && common[0] == 1)) {
      numerator = divide(numerator, common);
      denominator = divide(denominator, common);
    }
  }
  if (bits(numerator) > kMaxBits || bits(denominator) > kMaxBits) return std::nullopt;
  Rational out;
  out.negative_ = negative && !numerator.empty();
  out.numerator_ = std::move(numerator);
  out.denominator_ = std::move(denominator);
  return out;
}

Rational Rational::of(int64_t value) {
  Rational out;
  out.negative_ = value < 0;
  out.numerator_ = from_uint64(value < 0 ? -static_cast<uint64_t>(value) : static_cast<uint64_t>(value));
  return out;
}

std::optional<Rational> Rational::from_digits(std::string_view whole, std::string_view fraction) {
  // A zero at either end counts for nothing, and 10^1233 has more than kMaxBits bits.
  while (!whole.empty() && whole.front() == '0') whole.remove_prefix(1);
  while (!fraction.empty() && fraction.back() == '0') fraction.remove_suffix(1);
  if (whole.size() + fraction.size() > 1233) return std::nullopt;
  const std::string digits = std::string(whole) + std::string(fraction);
  const std::string power = "1" + std::string(fraction.size(), '0');
  return reduced(false, from_decimal(digits), from_decimal(power));
}

std::optional<Rational> Rational::plus(const Rational& other) const {
  Natural a = multiply(numerator_, other.denominator_), b = multiply(other.numerator_, denominator_);
  Natural denominator = multiply(denominator_, other.denominator_);
  if (negative_ == other.negative_) return reduced(negative_, add(a, b), std::move(denominator));
  bool negative = negative_;
  if (compare(a, b) < 0) {
    std::swap(a, b);
    negative = !negative;
  }
  subtract(a, b);
  return reduced(negative, std::move(a), std::move(denominator));
}

std::optional<Rational> Rational::times(const Rational& other) const {
  return reduced(negative_ != other.negative_, multiply(numerator_, other.numerator_),
                 multiply(denominator_, other.denominator_));
}

std::optional<Rational> Rational::over(const Rational& other) const {
  return reduced(negative_ != other.negative_, multiply(numerator_, other.denominator_),
                 multiply(denominator_, other.numerator_));
}

std::optional<Rational> Rational::to_power(int64_t exponent) const {
  if (exponent < 0) {
    const auto inverse = of(1).over(*this);
    return inverse && exponent != INT64_MIN ? inverse->to_power(-exponent) : std::nullopt;
  }
  std::optional<Rational> out = of(1), square = *this;
  for (int64_t e = exponent; e > 0 && out; e >>= 1) {
    if ((e & 1) != 0) {
      if (!square) return std::nullopt;
      out = out->times(*square);
    }
    if (e > 1 && square) square = square->times(*square);
  }
  return out;
}

Rational Rational::negated() const {
  Rational out = *this;
  out.negative_ = !negative_ && !is_zero();
  return out;
}

std::optional<int64_t> Rational::to_int64() const {
  if (!is_integer() || bits(numerator_) > 63) return std::nullopt;
  uint64_t value = 0;
  for (size_t i = numerator_.size(); i-- > 0;) value = (value << 32) | numerator_[i];
  return negative_ ? -static_cast<int64_t>(value) : static_cast<int64_t>(value);
}

std::string Rational::to_string() const {
  std::string out = (negative_ ? "-" : "") + to_decimal(numerator_);
  if (!is_integer()) out += "/" + to_decimal(denominator_);
  return out;
}

}  // namespace temper
