// Final answers of mathematics as values: a number, a formula, an interval, a list of solutions ...
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "answer/expression.h"
#include "answer/number.h"

namespace temper {

enum class AnswerKind : uint8_t {
  kNumber,      // number: a rational, with percent sign, scale word, currency and unit
  kExpression,  // value (and unit): any other formula; text: of letters alone, the word they would be
  kEquation,    // sides[0] = sides[1]
  kInequality,  // sides joined by relations: 1 < x <= 5
  kTuple,       // parts in order, with their brackets: (1, 2), also (1, 2) as an open interval
  kInterval,    // two parts, of which a bracket is square or one is infinite
  kUnion,       // parts: intervals and sets
  kSet,         // parts in any order, repeated ones count once; none: the empty set
  kList,        // parts in any order: "2 and 3", "x = 2, x = 3", 1 ± sqrt(2)
  kMatrix,      // parts row by row, `columns` each
  kBase,        // digits in a base: text is the digits, number the value
  kRatio,       // parts: 3:2
  kTime,        // parts: hours, minutes, seconds; text: "am", "pm" or ""
  kChoice,      // text: the letter; parts: what stands behind it, if anything
  kText,        // text: anything else, made comparable
};
std::string_view name_of(AnswerKind kind);
const std::vector<std::string>& answer_kinds();  // in that order: "number", "expression" ...

enum class Relation : uint8_t { kLess, kLessEqual, kGreater, kGreaterEqual, kNotEqual };

struct FinalAnswer {
  AnswerKind kind = AnswerKind::kText;
  std::optional<Number> number;
  Expression value;
  std::string unit;
  std::string name;  // of one letter, in front of "=": x for "x = 5"
  std::vector<Expression> sides;
  std::vector<Relation> relations;
  std::vector<FinalAnswer> parts;
  char open = '(', close = ')';
  int64_t columns = 0;  // kMatrix; kBase: the base
  std::string text;
  bool plain = false;      // kText: short words, so that others are another answer
  bool worked_out = true;  // as Number::worked_out; formulas whose value is rational are not
};

// For people: "{1, 2}", "x = 5", "2*sqrt(3)".
std::string to_string(const FinalAnswer& answer);

}  // namespace temper
