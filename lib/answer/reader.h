// Formulas and what holds them, read from tokens.
#pragma once

#include <optional>
#include <vector>

#include "answer/answer.h"
#include "answer/token.h"

namespace temper {

// The answer that all tokens together are, of any kind but a choice and text; nullopt: none. LaTeX is read as
// it is set and plain notation (sqrt(3), x^2, >=) as programs have it; |x|, ½ and \sin^2 x are known.
// "\frac12 x" and "1/2 x" are half of x. e and i are the constants.
std::optional<FinalAnswer> read_tokens(const std::vector<Token>& tokens);

}  // namespace temper
