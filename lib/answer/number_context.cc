#include "answer/number_context.h"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <iterator>
#include <string>

#include "answer/latex.h"

namespace temper {
namespace {

constexpr std::string_view kUnitLetters = "mglshdLNJWVACFKH";  // "5 m" has a unit, "5 x" a variable

// Units that are written right behind a number; other short runs of letters there are products of variables.
constexpr std::string_view kUnits[] = {
    "cm", "mm", "km", "kg", "mg",  "ml",  "mL",  "dl",  "dL",  "cl",  "kJ",  "Hz",  "kW",  "MW", "GB",
    "MB", "ft", "in", "lb", "lbs", "oz",  "mi",  "yd",  "hr",  "hrs", "min", "sec", "am",  "pm", "AM",
    "PM", "th", "st", "nd", "rd",  "mph", "kph", "bps", "pts", "pt",  "USD", "EUR", "GBP", "pct"};

// Words of one or two letters between those of units.
constexpr std::string_view kLittleWords[] = {"a",  "of", "in", "to", "is", "on", "or", "an",
                                             "by", "at", "so", "as", "if", "he", "it", "we",
                                             "my", "no", "up", "sq", "cu", "OK"};

bool is_unit_word(std::string_view word) {
  if (word.size() == 1) return kUnitLetters.find(word[0]) != std::string_view::npos;
  return word.size() > 3 || static_cast<uint8_t>(word[0]) >= 0x80 ||
         std::find(std::begin(kUnits), std::end(kUnits), word) != std::end(kUnits);
}

// The exponent of a unit at rest[i] == '^': cm^2, m^{-1}; moves behind it.
bool skip_unit_exponent(std::string_view rest, size_t& i) {
  const bool braced = ++i < rest.size() && rest[i] == '{';
  if (braced) ++i;
  if (i < rest.size() && rest[i] == '-') ++i;
  const size_t first = i;
  while (i < rest.size() && digit(rest[i])) ++i;
  if (i == first) return false;
  return !braced || (i < rest.size() && rest[i++] == '}');
}

// xy and abc, but not the names AB and sum.
bool product_of_letters(std::string_view text) {
  std::string run;
  for (const char c : text) {
    if (blank(c) || c == '$') continue;
    if (c < 'a' || c > 'z' || run.size() == 3) return false;
    run += c;
  }
  return run.size() == 2 || (run.size() == 3 && run[1] == run[0] + 1 && run[2] == run[1] + 1);
}

}  // namespace

std::string_view without_blanks(std::string_view text) {
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

std::string half_of_day(std::string_view text) {
  std::string out;
  for (const char c : text)
    if (c != '.' && c != ' ') out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

bool is_unit(std::string_view rest) {
  size_t touching = 0;
  while (touching < rest.size() && letter(rest[touching])) ++touching;
  if (touching > 0 && !is_unit_word(rest.substr(0, touching))) return false;
  if (touching == 1 && rest.substr(1, 1) == "^") return false;
  size_t words = 0, symbols = 0;  // symbols: runs of one or two letters that no unit is called
  for (size_t i = 0; i < rest.size();) {
    const char c = rest[i];
    if (c == '^' && words > 0) {
      // "5 m^2" is an area, "5 s^2" a product; "9.8 m/s^2" has a unit.
      const size_t first = i > 0 && letter(rest[i - 1]) && (i < 2 || !letter(rest[i - 2])) ? i - 1 : i;
      const bool variable = first < i && rest[first] != 'm' && (first == 0 || rest[first - 1] != '/');
      if (symbols > 0 || variable || !skip_unit_exponent(rest, i)) return false;
      continue;
    }
    const bool joins_words = c == '-' && i > 0 && letter(rest[i - 1]) && i + 1 < rest.size() &&
                             letter(rest[i + 1]) && words > symbols;
    if (digit(c) || c == kForeign || c == kApprox || c == '\\' || c == '=' || c == '<' || c == '>' ||
        c == '+' || c == '*' || c == '^' || c == '_' || (c == '(' && i == 0) || (c == '!' && i == 0) ||
        (c == '-' && !joins_words)) {
      return false;
    }
    if (!letter(c)) {
      ++i;
      continue;
    }
    const size_t begin = i;
    while (i < rest.size() && letter(rest[i])) ++i;
    const std::string_view word = rest.substr(begin, i - begin);
    ++words;
    const bool little =
        std::find(std::begin(kLittleWords), std::end(kLittleWords), word) != std::end(kLittleWords);
    if (word.size() < 3 && !is_unit_word(word) && !little) ++symbols;
    // "3 and x" are two.
    const bool joins = word == "and" || word == "or";
    if (joins && rest.substr(i).find_first_not_of(" $.") != std::string_view::npos &&
        rest.substr(i).size() < 5)
      return false;
  }
  return symbols == 0;
}

bool names_a_number(std::string_view left) {
  int depth = 0;
  bool letters = false, operators = false;
  for (size_t i = 0; i < left.size(); ++i) {
    const char c = left[i];
    if (c == '(' || c == '{' || c == '[') ++depth;
    if (c == ')' || c == '}' || c == ']') --depth;
    if (c == '<' || c == '>' || c == '!' || c == ';') return false;
    if (c == '\\') {  // \frac and \overline
      operators = true;
      while (i + 1 < left.size() && letter(left[i + 1])) ++i;
      continue;
    }
    if (depth > 0 && letters) continue;  // what a function is of
    if (letter(c)) {
      letters = true;
      continue;
    }
    if (c == ',') return false;
    const auto word_of_four = [&] {  // x-coordinate
      return i + 4 < left.size() && std::all_of(left.begin() + i + 1, left.begin() + i + 5, letter);
    };
    const bool joins_words = c == '-' && word_of_four();
    const bool subscript = digit(c) && i > 0 && (left[i - 1] == '_' || digit(left[i - 1])) && letters;
    if (((c == '+' || c == '*' || c == '/' || c == '^' || c == '-') && !joins_words) ||
        (digit(c) && !subscript) || c == kForeign || c == '|')
      operators = true;
  }
  return !(letters && operators) && !product_of_letters(left);
}

}  // namespace temper
