// What a list, an interval or a relation is made of: formulas with units, matrices, numbers in a base.
#pragma once

#include <cstddef>
#include <optional>

#include "answer/answer.h"
#include "answer/formula_reader.h"

namespace temper {

constexpr size_t kMaxParts = 200;  // of a matrix, a list or a union

// Each reads from where the reader stands and moves it behind; nullopt: it cannot be read.

// A formula with its unit, a number in a base, or a formula in front of a matrix, which it multiplies.
std::optional<FinalAnswer> read_formula(FormulaReader& reader);
// From \begin{pmatrix} and its like to \end; \begin{vmatrix} is a determinant, a formula.
std::optional<FinalAnswer> read_matrix(FormulaReader& reader);

inline bool begins_matrix(const Token& t) {
  return t.kind == Token::Kind::kCommand && t.text.substr(0, 6) == "begin ";
}
inline bool capital(const Token& t) {
  return t.kind == Token::Kind::kLetter && t.text.size() == 1 && t.text[0] >= 'A' && t.text[0] <= 'Z';
}

}  // namespace temper
