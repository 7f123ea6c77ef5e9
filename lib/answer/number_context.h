// What may stand around a number in an answer. Texts are plain_math()'s.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "answer/latex.h"

namespace temper {

inline bool digit(char c) {
  return c >= '0' && c <= '9';
}
inline bool blank(char c) {
  return c == ' ' || c == '\n' || c == kThin;
}
// Of ASCII, or a part of any other character.
inline bool letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || static_cast<uint8_t>(c) >= 0x80;
}

// Without the blanks at its ends.
std::string_view without_blanks(std::string_view text);

// "am" of " a.m.", "A.M." ...
std::string half_of_day(std::string_view text);

// Whether what follows a number is a unit, a closing mark or nothing. Letters that touch the number are a
// unit only where they are a known one: 20xy and 3s^2 are products.
bool is_unit(std::string_view rest);

// Whether "left = 5" says that the number is 5: left is a name (x, x_1, f(2), AB, Total cost), or arithmetic
// without letters. Equations, inequalities and lists say something else.
bool names_a_number(std::string_view left);

}  // namespace temper
