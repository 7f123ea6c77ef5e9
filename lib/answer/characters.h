// Characters outside ASCII as LaTeX writes them.
#pragma once

#include <iterator>
#include <string_view>

namespace temper {

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

}  // namespace temper
