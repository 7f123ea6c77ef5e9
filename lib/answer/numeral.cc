#include "answer/numeral.h"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <string>
#include <utility>

#include "answer/latex.h"
#include "answer/number_context.h"

namespace temper {
namespace {

constexpr int kMaxDepth = 16;           // of nested fractions and parentheses
constexpr int64_t kMaxExponent = 5000;  // anything larger overflows kMaxBits, but for 0 and 1

struct Scale {
  std::string_view word;
  int64_t factor;
};
constexpr Scale kScales[] = {{"hundred", 100},        {"thousand", 1000},          {"million", 1000000},
                             {"billion", 1000000000}, {"trillion", 1000000000000}, {"dozen", 12}};

constexpr std::string_view kCurrencies[] = {"US$", "USD", "EUR", "GBP", "INR", "Rs.", "Rs", "$",
                                            "€",   "£",   "¥",   "₹",   "₽", "₩",   "₫"};

// A recursive-descent reader over the output of plain_math().
class Reader {
 public:
  Reader(std::string_view text, bool spaces_group) : text_(text), spaces_group_(spaces_group) {}

  // A number with sign, currency, percent sign and scale word at `at`; moves `at` behind it. nullopt: no
  // number there, or one that cannot be held.
  std::optional<Number> number(size_t& at, int depth = 0) const {
    bool negative = false, signed_already = false;
    std::string_view currency;
    while (true) {
      skip_blanks(at);
      if (!signed_already && (peek(at) == '-' || peek(at) == '+')) {
        negative = peek(at++) == '-';
        signed_already = true;
      } else if (const std::string_view name = skip_currency(at); !name.empty()) {
        currency = name;
      } else {
        break;
      }
    }
    Number out;
    // A "$" may as well open a formula.
    if (currency.find('$') == std::string_view::npos) out.unit = currency;
    if (!product(at, depth, out)) return std::nullopt;
    if (negative) out.value = out.value.negated();
    return scale(at, out) ? std::optional(out) : std::nullopt;
  }

  void skip_blanks(size_t& at) const {
    while (blank(peek(at))) ++at;
  }
  char peek(size_t at) const { return at < text_.size() ? text_[at] : '\0'; }

  // Its name; "" when there is none.
  std::string_view skip_currency(size_t& at) const {
    for (const std::string_view name : kCurrencies) {
      if (text_.substr(at, name.size()) != name) continue;
      at += name.size();
      return name;
    }
    return {};
  }

 private:
  struct Factor {
    Rational value;
    bool power = false;     // it has an exponent
    bool fraction = false;  // it is or holds a \frac
    bool decimal = false;   // it is or holds a decimal that may be rounded
    bool reduced = true;    // that fraction's numerator and denominator are coprime, and it is not an integer
  };

  // factor (* factor)* with at most one "/".
  bool product(size_t& at, int depth, Number& out) const {
    Factor left;
    if (!factor(at, depth, left)) return false;
    out.value = left.value;
    out.decimal = left.decimal;
    out.worked_out = !left.power && left.reduced;
    bool divided = false;
    for (int factors = 2;; ++factors) {
      size_t next = at;
      skip_blanks(next);
      const char op = peek(next);
      const bool times = op == '*' || ((op == 'x' || op == 'X') && times_sign(next));
      if (!times && (op != '/' || divided)) return true;
      ++next;
      skip_blanks(next);
      if (op == '/') skip_currency(next);
      const size_t start = next;
      Factor right;
      // "5/hour" and the end of *emphasis* are no operators, but a number that cannot be held is an operand.
      if (!factor(next, depth, right)) return !starts_number(start);
      const auto result = op == '/' ? out.value.over(right.value) : out.value.times(right.value);
      if (!result) return false;
      const bool scientific = times && right.power && text_.substr(start, 2) == "10";
      const bool fraction = op == '/' && !right.power && coprime(left.value, right.value);
      out.worked_out = factors == 2 && !left.power && !left.fraction && (scientific || fraction);
      out.value = *result;
      out.decimal = out.decimal || right.decimal;
      divided = divided || op == '/';
      at = next;
    }
  }

  // "3 x 10" multiplies, "3 x" names something.
  bool times_sign(size_t at) const {
    size_t next = at + 1;
    skip_blanks(next);
    return starts_number(next);
  }
  bool starts_number(size_t at) const {
    return digit(peek(at)) || (peek(at) == '.' && digit(peek(at + 1))) || text_.substr(at, 5) == "\\frac" ||
           ((peek(at) == '(' || peek(at) == '{') && (digit(peek(at + 1)) || peek(at + 1) == '-'));
  }
  // Whether a/b is a fraction in lowest terms.
  static bool coprime(const Rational& a, const Rational& b) {
    const auto quotient = a.over(b);
    if (!a.is_integer() || !b.is_integer() || !quotient || quotient->is_integer()) return false;
    const auto numerator = quotient->times(b);
    const Rational positive = b.is_negative() ? b.negated() : b;
    const std::string shown = quotient->to_string();
    return numerator && shown.substr(shown.find('/') + 1) == positive.to_string();
  }

  // An atom and its exponent.
  bool factor(size_t& at, int depth, Factor& out) const {
    if (!atom(at, depth, out)) return false;
    size_t next = at;
    skip_blanks(next);
    if (peek(next) != '^') return true;
    ++next;
    const auto power = exponent(next);
    const auto result = power ? out.value.to_power(*power) : std::nullopt;
    if (!result) return false;
    out.value = *result;
    out.power = true;
    at = next;
    return true;
  }

  std::optional<int64_t> exponent(size_t& at) const {
    skip_blanks(at);
    char close = 0;
    if (peek(at) == '{' || peek(at) == '(') close = peek(at++) == '{' ? '}' : ')';
    skip_blanks(at);
    bool negative = false;
    if (peek(at) == '-' || peek(at) == '+') negative = peek(at++) == '-';
    if (!digit(peek(at))) return std::nullopt;
    int64_t value = 0;
    for (; digit(peek(at)); ++at) {
      value = value * 10 + (peek(at) - '0');
      if (value > kMaxExponent) return std::nullopt;
    }
    if (close != 0) skip_blanks(at);
    if (close != 0 && peek(at++) != close) return std::nullopt;
    return negative ? -value : value;
  }

  bool atom(size_t& at, int depth, Factor& out) const {
    if (depth > kMaxDepth) return false;
    if (text_.substr(at, 5) == "\\frac") return frac(at, depth, out);
    if (peek(at) == '(' || peek(at) == '{') {
      const char close = peek(at) == '(' ? ')' : '}';
      size_t next = at + 1;
      const auto inner = number(next, depth + 1);
      if (!inner || inner->scaled) return false;
      skip_blanks(next);
      if (peek(next) != close) return false;
      // (2,251,252) may be a tuple.
      if (close == ')' && text_.substr(at, next - at).find(',') != std::string_view::npos) return false;
      out.value = inner->value;
      out.decimal = inner->decimal;
      out.reduced = inner->worked_out;
      at = next + 1;
      return true;
    }
    bool whole = false;
    const size_t start = at;
    if (!decimal(at, out.value, whole)) return false;
    out.decimal = !whole && text_.substr(start, at - start).find('\\') == std::string_view::npos;
    return !whole || mixed(at, depth, out);
  }

  // \frac{a}{b}, \frac12, \frac1{2}.
  bool frac(size_t& at, int depth, Factor& out) const {
    size_t next = at + 5;
    Factor parts[2];
    for (Factor& part : parts) {
      skip_blanks(next);
      if (peek(next) == '{') {
        if (!atom(next, depth + 1, part)) return false;
      } else if (digit(peek(next))) {
        part.value = Rational::of(peek(next++) - '0');
      } else {
        return false;
      }
    }
    const auto result = parts[0].value.over(parts[1].value);
    if (!result) return false;
    out.value = *result;
    out.fraction = true;
    out.decimal = parts[0].decimal || parts[1].decimal;
    out.reduced = coprime(parts[0].value, parts[1].value);
    at = next;
    return true;
  }

  // Behind an integer: 1 1/2 and 1\frac{1}{2}.
  bool mixed(size_t& at, int depth, Factor& out) const {
    size_t next = at;
    skip_blanks(next);
    Factor part;
    if (text_.substr(next, 5) == "\\frac") {
      if (!frac(next, depth, part)) return false;
    } else if (next > at && digit(peek(next))) {
      Rational over, under;
      bool whole = false;
      if (!decimal(next, over, whole) || !whole || peek(next) != '/' || !digit(peek(next + 1))) return true;
      ++next;
      if (!decimal(next, under, whole) || !whole) return true;
      const auto quotient = over.over(under);
      if (!quotient) return false;
      part.value = *quotient;
      part.fraction = true;
      part.reduced = coprime(over, under);
    } else {
      return true;
    }
    if (part.value.is_negative()) return true;
    const auto sum = out.value.plus(part.value);
    if (!sum) return false;
    out = part;
    out.value = *sum;
    at = next;
    return true;
  }

  // Digits, grouped or not, with a fraction (which may repeat) and a power of ten.
  bool decimal(size_t& at, Rational& out, bool& whole_number) const {
    std::string whole, fraction, repeating;
    size_t next = at;
    digits(next, whole);
    // 1000,99: behind four digits a comma does not group.
    const bool comma = peek(next) == ',' && whole.size() > 3 && next - at == whole.size() &&
                       digit(peek(next + 1)) && !digit(peek(next + 3));
    if (comma) {
      ++next;
      while (digit(peek(next))) fraction += text_[next++];
    } else if (peek(next) == '.' && (digit(peek(next + 1)) || text_.substr(next + 1, 10) == "\\overline{")) {
      ++next;
      while (digit(peek(next))) fraction += text_[next++];
      if (text_.substr(next, 10) == "\\overline{") {
        next += 10;
        while (digit(peek(next))) repeating += text_[next++];
        if (repeating.empty() || peek(next++) != '}') return false;
      }
    }
    if (whole.empty() && fraction.empty() && repeating.empty()) return false;
    whole_number = fraction.empty() && repeating.empty();
    auto value = repeating.empty() ? Rational::from_digits(whole, fraction)
                                   : Rational::repeating(whole, fraction, repeating);
    if ((peek(next) == 'e' || peek(next) == 'E') && value) {
      size_t after = next + 1;
      if (peek(after) == '-' || peek(after) == '+' ? digit(peek(after + 1)) : digit(peek(after))) {
        const auto power = exponent(after);
        const auto ten = power ? Rational::of(10).to_power(*power) : std::nullopt;
        value = ten ? value->times(*ten) : std::nullopt;
        whole_number = false;
        next = after;
      }
    }
    if (!value) return false;
    out = *value;
    at = next;
    return true;
  }

  // A run of digits, or groups of three behind one to three: 1,234,567.
  void digits(size_t& at, std::string& out) const {
    size_t next = at;
    while (digit(peek(next))) ++next;
    out = std::string(text_.substr(at, next - at));
    const size_t first = next - at;
    at = next;
    const char separator = peek(next);
    const bool may_group = separator == ',' || separator == kThin || (separator == ' ' && spaces_group_);
    if (!may_group || first == 0 || first > 3 || out[0] == '0') return;
    std::string grouped = out;
    while (peek(next) == separator && digit(peek(next + 1)) && digit(peek(next + 2)) &&
           digit(peek(next + 3)) && !digit(peek(next + 4))) {
      grouped += text_.substr(next + 1, 3);
      next += 4;
    }
    out = grouped;
    at = next;
  }

  // A percent sign or a scale word behind the numeral.
  bool scale(size_t& at, Number& out) const {
    size_t next = at;
    while (blank(peek(next)) || (peek(next) == '$' && next == at)) ++next;
    std::optional<Rational> factor;
    if (peek(next) == '%') {
      out.percent = true;
      ++next;
    } else {
      size_t end = next;
      while (letter(peek(end))) ++end;
      std::string word(text_.substr(next, std::min<size_t>(end - next, 12)));
      std::transform(word.begin(), word.end(), word.begin(),
                     [](unsigned char c) { return c < 128 ? std::tolower(c) : c; });
      out.percent = word == "percent" || word == "percentage" || word == "pct";
      for (const auto& [name, value] : kScales) {
        if (word == name) factor = Rational::of(value);
      }
      next = end;
    }
    if (out.percent) factor = Rational::of(1).over(Rational::of(100));
    if (!factor) return true;
    out.scaled = out.value.times(*factor);
    at = next;
    return out.scaled.has_value();
  }

  std::string_view text_;
  bool spaces_group_;
};

}  // namespace

std::optional<Number> numeral_at(std::string_view text, size_t& at, bool spaces_group) {
  return Reader(text, spaces_group).number(at);
}

}  // namespace temper
