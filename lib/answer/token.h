// LaTeX and plain formulas as tokens.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "answer/rational.h"

namespace temper {

struct Token {
  enum class Kind {
    kNumeral,  // value, and text: its digits and point; grouped ones, decimals, also repeating ones (text
               // then "")
    kLetter,   // text: a symbol, "x", "alpha", "vec v"
    kCommand,  // text: what a formula is made of besides, by its LaTeX name: "frac", "sqrt", "sin", "le",
               // "cup"
    kText,     // text: words, of \text{...} or of plain letters
    kMark,     // text: one character
    kEnd
  };
  Kind kind = Kind::kEnd;
  std::string text;
  Rational value;
  bool decimal = false;
  bool blank_before = false;

  bool is(Kind k, std::string_view t) const { return kind == k && text == t; }
  bool mark(std::string_view t) const { return is(Kind::kMark, t); }
  bool command(std::string_view t) const { return is(Kind::kCommand, t); }
};

// Sizing commands, math delimiters and spaces are left out; spellings of one thing (\le \leq <= ≤, \dfrac, ½)
// are one. nullopt for what is longer than an answer (2,000 tokens) or holds a number that Rational does not.
std::optional<std::vector<Token>> tokens_of(std::string_view text);

}  // namespace temper
