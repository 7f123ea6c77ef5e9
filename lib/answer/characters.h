// Characters outside ASCII as LaTeX writes them.
#pragma once

#include <iterator>
#include <string>
#include <string_view>

namespace temper {

inline bool ascii_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

struct Spelling {
  std::string_view from, to;
};

constexpr Spelling kVulgarFractions[] = {
    {"½", "\\frac{1}{2}"}, {"¼", "\\frac{1}{4}"}, {"¾", "\\frac{3}{4}"}, {"⅓", "\\frac{1}{3}"},
    {"⅔", "\\frac{2}{3}"}, {"⅛", "\\frac{1}{8}"}, {"⅜", "\\frac{3}{8}"}, {"⅝", "\\frac{5}{8}"},
    {"⅞", "\\frac{7}{8}"}, {"⅕", "\\frac{1}{5}"}, {"⅖", "\\frac{2}{5}"}, {"⅗", "\\frac{3}{5}"},
    {"⅘", "\\frac{4}{5}"}, {"⅙", "\\frac{1}{6}"}, {"⅚", "\\frac{5}{6}"},
};

constexpr std::string_view kSuperscripts[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
constexpr std::string_view kSuperscriptMinus = "⁻";

// The digits that a run of raised or lowered ones at `at` stands for; moves behind it. "": there is none.
inline std::string digits_of_run(std::string_view text, size_t& at, const std::string_view (&digits)[10]) {
  std::string out;
  for (bool found = true; found;) {
    found = false;
    for (size_t d = 0; d < 10 && !found; ++d) {
      if (text.substr(at, digits[d].size()) != digits[d]) continue;
      out += static_cast<char>('0' + d);
      at += digits[d].size();
      found = true;
    }
  }
  return out;
}

}  // namespace temper
