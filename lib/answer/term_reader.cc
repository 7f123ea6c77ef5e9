#include "answer/term_reader.h"

#include <iterator>
#include <string>
#include <utility>
#include <vector>

namespace temper {
namespace {

using TokenKind = Token::Kind;
using Result = std::optional<FinalAnswer>;

std::optional<int64_t> base_of(const Token& t) {
  constexpr std::string_view kWords[] = {"two",    "three",    "four",     "five",    "six",
                                         "seven",  "eight",    "nine",     "ten",     "eleven",
                                         "twelve", "thirteen", "fourteen", "fifteen", "sixteen"};
  for (size_t i = 0; i < std::size(kWords); ++i)
    if (t.is(TokenKind::kText, kWords[i])) return static_cast<int64_t>(i) + 2;
  const auto base = t.kind == TokenKind::kNumeral ? t.value.to_int64() : std::nullopt;
  return base && *base >= 2 && *base <= 36 ? base : std::nullopt;
}

// How many tokens stand in front of the "_" of a number in a base: 1011_2, -12.1_{3}, 4C6_{16}; 0: none.
size_t based_digits(const FormulaReader& reader) {
  size_t count = reader.peek().mark("-") ? 1 : 0;
  bool numeral = false;
  while (reader.peek(count).kind == TokenKind::kNumeral || capital(reader.peek(count)))
    numeral = reader.peek(count++).kind == TokenKind::kNumeral || numeral;
  return reader.peek(count).mark("_") && (numeral || count > 1) ? count : 0;
}

Result based(FormulaReader& reader, size_t length) {
  const bool negative = reader.peek().mark("-");
  std::string digits;
  for (size_t i = negative ? 1 : 0; i < length; ++i) {
    if (reader.peek(i).text.empty()) return std::nullopt;
    digits += reader.peek(i).text;
  }
  reader.at += length + 1;
  const bool braces = reader.peek().mark("{");
  if (braces) ++reader.at;
  const auto base = base_of(reader.peek());
  ++reader.at;
  if (braces && !reader.peek().mark("}")) return std::nullopt;
  if (braces) ++reader.at;
  if (!base) return std::nullopt;
  const Rational radix = Rational::of(*base);
  std::optional<Rational> value = Rational(), place = Rational::of(1);
  bool behind = false;
  for (const char c : digits) {
    if (c == '.') {
      behind = true;
      continue;
    }
    const int64_t digit = c >= 'A' ? c - 'A' + 10 : c - '0';
    if (digit >= *base) return std::nullopt;
    value = value->times(radix);
    if (value) value = value->plus(Rational::of(digit));
    if (behind) place = place->times(radix);
    if (!value || !place) return std::nullopt;
  }
  value = value->over(*place);
  if (!value) return std::nullopt;
  FinalAnswer out;
  out.kind = AnswerKind::kBase;
  out.text = (negative ? "-" : "") + digits;
  out.columns = *base;
  out.number.emplace();
  out.number->value = negative ? value->negated() : *value;
  return out;
}

// Along the first row.
Expression determinant_of(const std::vector<Expression>& entries, size_t n) {
  if (n == 1) return entries[0];
  std::vector<Expression> terms;
  for (size_t skip = 0; skip < n; ++skip) {
    std::vector<Expression> rest;
    for (size_t i = n; i < n * n; ++i)
      if (i % n != skip) rest.push_back(entries[i]);
    Expression term = Expression::of(Op::kMultiply, {entries[skip], determinant_of(rest, n - 1)});
    terms.push_back(skip % 2 == 1 ? Expression::of(Op::kNegate, {std::move(term)}) : std::move(term));
  }
  return Expression::of(Op::kAdd, std::move(terms));
}

Result determinant(const FinalAnswer& matrix) {
  const auto n = static_cast<size_t>(matrix.columns);
  if (n > 4 || matrix.parts.size() != n * n) return std::nullopt;
  std::vector<Expression> entries;
  for (const FinalAnswer& part : matrix.parts) entries.push_back(part.value);
  FinalAnswer out;
  out.kind = AnswerKind::kExpression;
  out.value = determinant_of(entries, n);
  out.worked_out = false;
  return out;
}

}  // namespace

std::optional<FinalAnswer> read_formula(FormulaReader& reader) {
  if (reader.peek().kind == TokenKind::kText && reader.peek().text == "$") ++reader.at;
  reader.saw_degrees = false;
  if (const size_t length = based_digits(reader)) return based(reader, length);
  auto value = reader.sum();
  if (!value) return std::nullopt;
  if (begins_matrix(reader.peek())) {
    Result out = read_matrix(reader);
    if (!out) return std::nullopt;
    for (FinalAnswer& part : out->parts)
      part.value = Expression::of(Op::kMultiply, {*value, std::move(part.value)});
    return out;
  }
  FinalAnswer out;
  out.kind = AnswerKind::kExpression;
  out.value = std::move(*value);
  out.worked_out = out.value.op == Op::kRational || !rational_value(out.value);
  out.unit = reader.saw_degrees ? "°" : "";
  // Words behind it, with exponents: "cm^2", "\text{ square inches}".
  if (reader.peek().kind == TokenKind::kText) {
    while (reader.peek().kind == TokenKind::kText || reader.peek().mark("/") ||
           (reader.peek().mark("^") && !out.unit.empty())) {
      if (reader.peek().mark("^")) {
        ++reader.at;
        const bool braces = reader.peek().mark("{");
        if (braces) ++reader.at;
        if (reader.peek().kind != TokenKind::kNumeral) return std::nullopt;
        out.unit += "^" + reader.peek().value.to_string();
        reader.at += braces ? 2 : 1;
      } else {
        out.unit += (out.unit.empty() ? "" : " ") + reader.peek().text;
        ++reader.at;
      }
    }
  }
  return out;
}

std::optional<FinalAnswer> read_matrix(FormulaReader& reader) {
  const std::string name = reader.peek().text.substr(6);
  const bool known = name == "pmatrix" || name == "bmatrix" || name == "matrix" || name == "smallmatrix" ||
                     name == "array" || name == "Bmatrix" || name == "vmatrix";
  if (!known) return std::nullopt;
  ++reader.at;
  if (name == "array" && reader.peek().mark("{")) {
    const size_t partner = reader.bracket(reader.at).partner;
    if (partner == 0) return std::nullopt;
    reader.at = partner + 1;
  }
  FinalAnswer out;
  out.kind = AnswerKind::kMatrix;
  int64_t in_row = 0;
  while (true) {
    if (reader.peek().command("end " + name) && in_row == 0 && !out.parts.empty())
      break;  // behind a last "\\"
    auto entry = reader.sum();
    if (!entry || out.parts.size() > kMaxParts) return std::nullopt;
    FinalAnswer part;
    part.kind = AnswerKind::kExpression;
    part.value = std::move(*entry);
    out.parts.push_back(std::move(part));
    ++in_row;
    if (reader.peek().mark("&")) {
      ++reader.at;
      continue;
    }
    if (out.columns != 0 && out.columns != in_row) return std::nullopt;
    out.columns = in_row;
    in_row = 0;
    if (!reader.peek().command("row")) break;
    ++reader.at;
  }
  if (!reader.peek().command("end " + name)) return std::nullopt;
  ++reader.at;
  if (name == "vmatrix") return determinant(out);
  return out;
}

}  // namespace temper
