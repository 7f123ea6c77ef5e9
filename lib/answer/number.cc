#include "answer/number.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "answer/latex.h"
#include "answer/number_context.h"
#include "answer/numeral.h"

namespace temper {
namespace {

// A number with a unit in parentheses as a whole: (118 dollars).
std::string_view without_parentheses(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \n"), end = text.find_last_not_of(" \n");
  if (begin == std::string_view::npos || text[begin] != '(' || text[end] != ')') return text;
  const std::string_view inner = text.substr(begin + 1, end - begin - 1);
  return inner.find_first_of("(),") == std::string_view::npos ? inner : text;
}

// Without blanks, the sign that closes a formula and a full stop at its ends.
std::string_view unit_text(std::string_view rest) {
  constexpr std::string_view kEnds(" \n$.\x1f");
  const size_t begin = rest.find_first_not_of(kEnds), end = rest.find_last_not_of(kEnds);
  return begin == std::string_view::npos ? std::string_view() : rest.substr(begin, end - begin + 1);
}

std::optional<Number> read_whole(std::string_view text) {
  text = without_parentheses(text);
  size_t at = 0;
  auto number = numeral_at(text, at, true);
  if (!number || !is_unit(text.substr(at))) return std::nullopt;
  if (number->unit.empty()) number->unit = unit_text(text.substr(at));
  return number;
}

std::string_view after_equals(std::string_view text) {
  const size_t equals = text.find_last_of(std::string{'=', kApprox});
  return equals == std::string_view::npos ? text : text.substr(equals + 1);
}

// The start of a number in running text at or behind `from`, its sign included; npos when there is none.
// Digits in words (H2O) and exponents are passed over.
size_t find_number(std::string_view text, size_t from) {
  for (size_t i = from; i < text.size(); ++i) {
    const bool starts = digit(text[i]) || (text[i] == '.' && i + 1 < text.size() && digit(text[i + 1])) ||
                        text.substr(i, 5) == "\\frac";
    if (!starts) continue;
    size_t before = i;
    while (before > from && (text[before - 1] == '{' || text[before - 1] == '(')) --before;
    const char previous = before > 0 ? text[before - 1] : ' ';
    if (text[i] != '\\' &&
        (previous == '^' || previous == '_' || (letter(previous) && static_cast<uint8_t>(previous) < 0x80))) {
      while (i + 1 < text.size() && (digit(text[i + 1]) || letter(text[i + 1]))) ++i;
      continue;
    }
    // A sign counts when nothing stands before it that it could be subtracted from.
    size_t sign = i;
    while (sign > from && (text[sign - 1] == '$' || static_cast<uint8_t>(text[sign - 1]) >= 0x80)) --sign;
    if (sign > from && text[sign - 1] == '-') {
      const char left = sign > 1 ? text[sign - 2] : ' ';
      if (!digit(left) && !letter(left) && left != ')' && left != '}' && left != '%') return sign - 1;
    }
    return i;
  }
  return std::string_view::npos;
}

bool operator_char(char c) {
  return c == '+' || c == '*' || c == '/' || c == '^' || c == kForeign;
}

// Whether the number at [begin, end) is a member of a list or of work left undone.
bool entangled(std::string_view text, size_t begin, size_t end) {
  while (begin > 0 && (blank(text[begin - 1]) || text[begin - 1] == '$')) --begin;
  if (begin > 0 && operator_char(text[begin - 1])) return true;
  const size_t direct = end;
  while (end < text.size() && (blank(text[end]) || text[end] == '$')) ++end;
  if (end >= text.size()) return false;
  size_t next = end;
  bool joins = false;
  if (operator_char(text[end]) || text[end] == ',' || text[end] == '-') {
    joins = text[end] != '/' || end != direct || (end + 1 < text.size() && !letter(text[end + 1]));
    ++next;
  } else {
    for (const std::string_view word : {"or ", "and ", "to "}) {
      if (text.substr(end, word.size()) == word) {
        joins = true;
        next += word.size();
      }
    }
  }
  if (!joins) return false;
  while (next < text.size() &&
         (blank(text[next]) || text[next] == '$' || text[next] == '(' || text[next] == '-'))
    ++next;
  return next < text.size() && (digit(text[next]) || text[next] == '\\' || text[next] == kForeign);
}

}  // namespace

std::optional<Number> read_number(std::string_view text) {
  const std::string plain = plain_math(text);
  std::string_view rest = plain;
  // Of "1/3 is about 0.333" the exact value counts.
  for (size_t approx = rest.find(kApprox); approx != std::string_view::npos; approx = rest.find(kApprox)) {
    const std::string_view exact = rest.substr(0, approx);
    const size_t equals = exact.rfind('=');
    const std::string_view value = equals == std::string_view::npos ? exact : exact.substr(equals + 1);
    if (equals == std::string_view::npos || names_a_number(exact.substr(0, equals))) {
      if (auto number = read_whole(value)) return number;
    }
    // Of a formula the rounded number is another value, of a name it is the one.
    if (value.find_first_of("0123456789\\\x1e") != std::string_view::npos) return std::nullopt;
    rest = rest.substr(approx + 1);
  }
  const size_t equals = rest.rfind('=');
  if (equals == std::string_view::npos) return read_whole(rest);
  return names_a_number(rest.substr(0, equals)) ? read_whole(rest.substr(equals + 1)) : std::nullopt;
}

std::optional<Number> read_sentence(std::string_view text) {
  const std::string plain = plain_math(text);
  const std::string_view part = after_equals(plain);
  if (auto whole = read_whole(part)) return whole;
  const size_t start = find_number(part, 0);
  if (start == std::string_view::npos) return std::nullopt;
  size_t at = start;
  auto number = numeral_at(part, at);
  if (!number || entangled(part, start, at)) return std::nullopt;
  return number;
}

std::optional<Number> read_last(std::string_view text) {
  const std::string plain = plain_math(text);
  std::optional<Number> last;
  for (size_t at = find_number(plain, 0); at != std::string::npos; at = find_number(plain, at)) {
    size_t end = at;
    last = numeral_at(plain, end);
    if (!last) {
      while (end < plain.size() && (digit(plain[end]) || plain[end] == ',')) ++end;
    }
    at = std::max(end, at + 1);
  }
  return last;
}

}  // namespace temper
