#include "env/tools/calculator.h"

#include <optional>

#include "answer/rational.h"
#include "answer/thread_end.h"
#include "base/error.h"

namespace temper {
namespace {

constexpr size_t kLongest = 1000;
constexpr int64_t kPlaces = 15;

// Recursive descent; what goes wrong first stays in `error`.
class Calculation {
 public:
  explicit Calculation(std::string_view text) : text_(text) {}

  std::optional<Rational> value() {
    const auto out = sum();
    if (out && at_ < text_.size()) return fail(fmt::format("unexpected \"{}\"", character()));
    return out;
  }
  std::string error;

 private:
  std::optional<Rational> fail(const std::string& why) {
    if (error.empty()) error = fmt::format("{} at character {}", why, at_ + 1);
    return std::nullopt;
  }
  std::optional<Rational> bounded(std::optional<Rational> value) {
    return value ? value : fail("the number is too large");
  }

  void skip_blanks() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n')) ++at_;
  }
  bool take(std::string_view mark) {
    skip_blanks();
    if (text_.substr(at_, mark.size()) != mark) return false;
    at_ += mark.size();
    return true;
  }
  // The whole UTF-8 character in sight.
  std::string_view character() const {
    size_t end = at_ + 1;
    while (end < text_.size() && (static_cast<unsigned char>(text_[end]) & 0xC0) == 0x80) ++end;
    return text_.substr(at_, end - at_);
  }

  std::optional<Rational> sum() {
    auto left = product();
    while (left) {
      const bool minus = take("-");
      if (!minus && !take("+")) break;
      const auto right = product();
      if (!right) return right;
      left = bounded(left->plus(minus ? right->negated() : *right));
    }
    return left;
  }

  std::optional<Rational> product() {
    auto left = signed_power();
    while (left) {
      const bool over = take("/") || take("÷");
      if (!over && !take("*") && !take("×")) break;
      const auto right = signed_power();
      if (!right) return right;
      if (over && right->is_zero()) return fail("division by zero");
      left = bounded(over ? left->over(*right) : left->times(*right));
    }
    skip_blanks();
    return left;
  }

  std::optional<Rational> signed_power() {
    if (take("-")) {
      const auto value = signed_power();
      return value ? std::optional(value->negated()) : value;
    }
    if (take("+")) return signed_power();
    const auto base = atom();
    if (!base || !(take("^") || take("**"))) return base;
    const auto exponent = signed_power();
    if (!exponent) return exponent;
    const auto whole = exponent->to_int64();
    if (!whole) return fail("the exponent is no integer that fits");
    if (base->is_zero() && *whole < 0) return fail("division by zero");
    return bounded(base->to_power(*whole));
  }

  std::optional<Rational> atom() {
    if (take("(")) {
      auto inner = sum();
      if (inner && !take(")")) return fail("expected \")\"");
      return inner;
    }
    const std::string_view whole = digits();
    std::string_view fraction;
    const bool point = at_ < text_.size() && text_[at_] == '.';
    if (point) {
      ++at_;
      fraction = digits();
    }
    if (whole.empty() && fraction.empty()) {
      if (at_ >= text_.size()) return fail("expected a number, found the end");
      return fail(fmt::format("expected a number, found \"{}\"", character()));
    }
    return bounded(Rational::from_digits(whole, fraction));
  }

  std::string_view digits() {
    const size_t begin = at_;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') ++at_;
    return text_.substr(begin, at_ - begin);
  }

  std::string_view text_;
  size_t at_ = 0;
};

std::string written(const Rational& value) {
  if (value.is_integer()) return value.to_string();
  Rational scaled = value;
  for (int64_t places = 1; places <= kPlaces; ++places) {
    const auto next = scaled.times(Rational::of(10));
    if (!next) break;
    scaled = *next;
    if (!scaled.is_integer()) continue;
    std::string digits = (scaled.is_negative() ? scaled.negated() : scaled).to_string();
    const auto n = static_cast<size_t>(places);
    if (digits.size() <= n) digits.insert(0, n + 1 - digits.size(), '0');
    digits.insert(digits.size() - n, ".");
    return (scaled.is_negative() ? "-" : "") + digits;
  }
  return fmt::format("{} (about {:.10g})", value.to_string(), fmpq_get_d(value.get()));
}

class Calculator : public Tool {
 public:
  using Tool::Tool;
  ToolResult call(const Json& arguments) override {
    free_caches_at_thread_end();
    return calculate(arguments["expression"].get<std::string>());
  }
};

}  // namespace

ToolResult calculate(std::string_view text) {
  if (text.size() > kLongest)
    return {fmt::format("the expression is longer than {} characters", kLongest), false};
  Calculation expression(text);
  const auto value = expression.value();
  if (!value) return {expression.error, false};
  return {written(*value)};
}

CalculatorOptions::CalculatorOptions() {
  name = "calculator";
  description = "Works out an arithmetic expression exactly.";
}

std::vector<std::unique_ptr<Tool>> CalculatorOptions::make() const {
  std::vector<std::unique_ptr<Tool>> out;
  out.push_back(std::make_unique<Calculator>(ToolSignature{
      name, description, one_parameter("expression", "string", "numbers, + - * / ^ and parentheses")}));
  return out;
}

}  // namespace temper
