#include "answer/real_set.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "answer/same_expression.h"

namespace temper {
namespace {

struct Piece {
  Expression low, high;
  bool open_low = false, open_high = false;
};

Expression endless(bool negative) {
  Expression e = Expression::constant(Op::kInfinity);
  return negative ? Expression::of(Op::kNegate, {std::move(e)}) : e;
}

FinalAnswer formula(Expression value) {
  FinalAnswer out;
  out.kind = AnswerKind::kExpression;
  out.value = std::move(value);
  return out;
}

FinalAnswer interval(Piece piece) {
  FinalAnswer out;
  out.kind = AnswerKind::kInterval;
  out.open = piece.open_low ? '(' : '[';
  out.close = piece.open_high ? ')' : ']';
  out.parts = {formula(std::move(piece.low)), formula(std::move(piece.high))};
  return out;
}

std::optional<Expression> value_of(const FinalAnswer& answer) {
  if (answer.kind == AnswerKind::kExpression) return answer.value;
  if (answer.kind == AnswerKind::kNumber)
    return Expression::number(answer.number->value, answer.number->decimal);
  return std::nullopt;
}

// Its intervals in no order; false: it is no such set.
bool pieces_of(const FinalAnswer& answer, std::vector<Piece>& out) {
  switch (answer.kind) {
    case AnswerKind::kUnion:
      return std::all_of(answer.parts.begin(), answer.parts.end(),
                         [&](const FinalAnswer& part) { return pieces_of(part, out); });
    case AnswerKind::kSet:
      for (const FinalAnswer& part : answer.parts) {
        const auto value = value_of(part);
        if (!value) return false;
        out.push_back({*value, *value});
      }
      return true;
    case AnswerKind::kTuple:
    case AnswerKind::kInterval: {
      if (answer.parts.size() != 2) return false;
      auto low = value_of(answer.parts[0]), high = value_of(answer.parts[1]);
      if (!low || !high) return false;
      out.push_back({std::move(*low), std::move(*high), answer.open == '(', answer.close == ')'});
      return true;
    }
    case AnswerKind::kNumber:
    case AnswerKind::kExpression: {  // a set of one
      const Expression value = *value_of(answer);
      out.push_back({value, value});
      return true;
    }
    default:
      return false;
  }
}

// Sorted, without empty ones, and pieces that touch joined; nullopt when the order of two ends is not known.
// reversed: one is no interval, as (5, 2).
std::optional<std::vector<Piece>> normal_form(std::vector<Piece> pieces, bool& reversed, Work& work) {
  bool known = true;
  const auto compare = [&](const Expression& a, const Expression& b) {
    const auto sign = order(a, b, work);
    known = known && sign;
    return sign.value_or(0);
  };
  std::vector<Piece> sorted;
  for (Piece& piece : pieces) {
    const int size = compare(piece.low, piece.high);
    reversed = reversed || size > 0;
    if (size == 0 && (piece.open_low || piece.open_high)) continue;
    const auto before = [&](const Piece& other) {
      const int sign = compare(piece.low, other.low);
      return sign < 0 || (sign == 0 && !piece.open_low && other.open_low);
    };
    sorted.insert(std::find_if(sorted.begin(), sorted.end(), before), std::move(piece));
    if (!known) return std::nullopt;
  }
  std::vector<Piece> out;
  for (Piece& piece : sorted) {
    const int gap = out.empty() ? 1 : compare(piece.low, out.back().high);
    if (gap > 0 || (gap == 0 && piece.open_low && out.back().open_high)) {
      out.push_back(std::move(piece));
    } else if (const int reach = compare(piece.high, out.back().high); reach >= 0) {
      out.back().open_high = reach == 0 ? out.back().open_high && piece.open_high : piece.open_high;
      out.back().high = std::move(piece.high);
    }
  }
  return known ? std::optional(std::move(out)) : std::nullopt;
}

FinalAnswer union_of_pieces(std::vector<Piece> pieces) {
  if (pieces.size() == 1) return interval(std::move(pieces.front()));
  FinalAnswer out;
  out.kind = AnswerKind::kUnion;
  for (Piece& piece : pieces) out.parts.push_back(interval(std::move(piece)));
  return out;
}

Expression minus(Expression a, Expression b) {
  return Expression::of(Op::kAdd, {std::move(a), Expression::of(Op::kNegate, {std::move(b)})});
}

// "3x + 1 > 7" as "x > 2"; nullopt where it is not linear in one symbol.
std::optional<FinalAnswer> isolated(const FinalAnswer& answer) {
  if (answer.sides.size() != 2) return std::nullopt;
  const Expression over = minus(answer.sides[0], answer.sides[1]);
  std::string symbol;
  bool one = true;
  each_node(over, [&](const Expression& e) {
    if (e.op != Op::kSymbol) return;
    one = one && (symbol.empty() || symbol == e.name);
    symbol = e.name;
  });
  if (symbol.empty() || !one) return std::nullopt;
  const auto at = [&](int64_t x) { return substituted(over, symbol, Rational::of(x)); };
  const Expression slope = minus(at(1), at(0));
  Work work;
  for (const int64_t x : {2, 3, -7}) {
    const Expression line = Expression::of(
        Op::kAdd, {at(0), Expression::of(Op::kMultiply, {Expression::number(Rational::of(x)), slope})});
    if (same_expression(at(x), line, 0, work) != std::optional(true)) return std::nullopt;
  }
  const auto sign = order(slope, Expression::number(Rational()), work);
  if (!sign || *sign == 0) return std::nullopt;
  FinalAnswer out;
  out.kind = AnswerKind::kInequality;
  out.sides = {Expression::symbol(symbol),
               Expression::of(Op::kDivide, {minus(Expression::number(Rational()), at(0)), slope})};
  out.relations = answer.relations;
  if (*sign > 0) return out;
  switch (answer.relations[0]) {
    case Relation::kLess:
      out.relations[0] = Relation::kGreater;
      break;
    case Relation::kLessEqual:
      out.relations[0] = Relation::kGreaterEqual;
      break;
    case Relation::kGreater:
      out.relations[0] = Relation::kLess;
      break;
    case Relation::kGreaterEqual:
      out.relations[0] = Relation::kLessEqual;
      break;
    case Relation::kNotEqual:
      break;
  }
  return out;
}

// The pieces of "x < 3", "1 < x <= 2" and "x != 0".
bool solutions(const FinalAnswer& given, std::string& symbol, std::vector<Piece>& out) {
  if (given.kind != AnswerKind::kInequality) return false;
  const bool alone = std::any_of(given.sides.begin(), given.sides.end(),
                                 [](const Expression& e) { return e.op == Op::kSymbol; });
  const auto turned = alone ? std::nullopt : isolated(given);
  const FinalAnswer& answer = turned ? *turned : given;
  const auto& sides = answer.sides;
  const auto is_symbol = [](const Expression& e) { return e.op == Op::kSymbol; };
  const size_t where =
      static_cast<size_t>(std::find_if(sides.begin(), sides.end(), is_symbol) - sides.begin());
  const bool middle = sides.size() == 3 && where == 1, end = sides.size() == 2 && where < 2;
  if (!middle && !end) return false;
  if (!symbol.empty() && symbol != sides[where].name) return false;
  symbol = sides[where].name;
  Piece piece{endless(true), endless(false), true, true};
  for (size_t i = 0; i < answer.relations.size(); ++i) {
    Relation relation = answer.relations[i];
    const bool left = i + 1 == where;  // the bound stands left of the symbol
    const Expression& bound = left ? sides[i] : sides[i + 1];
    if (!is_constant(bound)) return false;
    if (relation == Relation::kNotEqual) {
      if (middle) return false;
      out.push_back({endless(true), bound, true, true});
      out.push_back({bound, endless(false), true, true});
      return true;
    }
    const bool strict = relation == Relation::kLess || relation == Relation::kGreater;
    const bool less = relation == Relation::kLess || relation == Relation::kLessEqual;
    if (less == left) {
      if (!piece.open_low || piece.low.op != Op::kNegate || piece.low.args[0].op != Op::kInfinity)
        return false;
      piece.low = bound;
      piece.open_low = strict;
    } else {
      if (!piece.open_high || piece.high.op != Op::kInfinity) return false;
      piece.high = bound;
      piece.open_high = strict;
    }
  }
  out.push_back(std::move(piece));
  return true;
}

}  // namespace

FinalAnswer all_reals() {
  return interval({endless(true), endless(false), true, true});
}

std::optional<FinalAnswer> without(const FinalAnswer& from, const FinalAnswer& points) {
  Work work;
  std::vector<Piece> pieces;
  if (points.kind != AnswerKind::kSet || !pieces_of(from, pieces)) return std::nullopt;
  for (const FinalAnswer& part : points.parts) {
    const auto point = value_of(part);
    if (!point) return std::nullopt;
    std::vector<Piece> rest;
    for (Piece& piece : pieces) {
      const auto low = order(*point, piece.low, work), high = order(*point, piece.high, work);
      if (!low || !high) return std::nullopt;
      if (*low < 0 || *high > 0) {
        rest.push_back(std::move(piece));
        continue;
      }
      if (*low > 0) rest.push_back({piece.low, *point, piece.open_low, true});
      if (*high < 0) rest.push_back({*point, piece.high, true, piece.open_high});
    }
    pieces = std::move(rest);
  }
  return union_of_pieces(std::move(pieces));
}

std::optional<FinalAnswer> solution_set(const FinalAnswer& answer) {
  std::vector<Piece> pieces;
  std::string symbol;
  if (answer.kind == AnswerKind::kInequality)
    return solutions(answer, symbol, pieces) ? std::optional(union_of_pieces(std::move(pieces)))
                                             : std::nullopt;
  if (answer.kind != AnswerKind::kList) return std::nullopt;
  for (const FinalAnswer& part : answer.parts)
    if (!solutions(part, symbol, pieces)) return std::nullopt;
  // "x > 1 and x < 3" is an intersection; only what does not overlap is surely meant as a union.
  Work work;
  bool reversed = false;
  const auto normal = normal_form(pieces, reversed, work);
  return normal && !reversed && normal->size() == pieces.size()
             ? std::optional(union_of_pieces(std::move(pieces)))
             : std::nullopt;
}

std::optional<bool> same_reals(const FinalAnswer& a, const FinalAnswer& b, Work& work) {
  std::vector<Piece> of_a, of_b;
  if (!pieces_of(a, of_a) || !pieces_of(b, of_b)) return std::nullopt;
  bool reversed_a = false, reversed_b = false;
  const auto x = normal_form(std::move(of_a), reversed_a, work),
             y = normal_form(std::move(of_b), reversed_b, work);
  if (!x || !y || (reversed_a && reversed_b)) return std::nullopt;
  if (reversed_a || reversed_b) return false;
  if (x->size() != y->size()) return false;
  for (size_t i = 0; i < x->size(); ++i) {
    const Piece &p = (*x)[i], &q = (*y)[i];
    const auto low = order(p.low, q.low, work), high = order(p.high, q.high, work);
    if (!low || !high) return std::nullopt;
    if (*low != 0 || *high != 0 || p.open_low != q.open_low || p.open_high != q.open_high) return false;
  }
  return true;
}

}  // namespace temper
