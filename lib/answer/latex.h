// Text and LaTeX reduced to the few characters that the number reader knows.
#pragma once

#include <string>
#include <string_view>

namespace temper {

// Stands for whatever no number can hold (roots, pi, plus-minus ...).
constexpr char kForeign = '\x1e';
// A thin space, which may group digits.
constexpr char kThin = '\x1f';
// \approx: what follows is the same number, rounded.
constexpr char kApprox = '\x1d';

// Drops sizing commands, math delimiters and markdown bold; \text{x} and its like become " x "; operators
// become
// * / - = and ^; superscript digits become ^{...}; vulgar fractions and \dfrac become \frac. Linear in the
// text.
std::string plain_math(std::string_view text);

}  // namespace temper
