// The text of an answer as a value.
#pragma once

#include <optional>
#include <string_view>

#include "answer/answer.h"

namespace temper {

// The whole text as one answer: a number where read_number() knows it, a choice ("C", "(C) 12", "B. yes"),
// else what read_tokens() finds, else text. nullopt where there is nothing but blanks. Formulas whose value
// is rational become numbers, "x = 5" is 5 named x, and a set or list of one member is that member.
std::optional<FinalAnswer> read_value(std::string_view text);

}  // namespace temper
