#include "answer/same_answer.h"

#include <algorithm>
#include <cctype>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "answer/measure.h"
#include "answer/number_context.h"
#include "answer/real_set.h"
#include "answer/same_expression.h"

namespace temper {
namespace {

using Verdict = std::optional<bool>;
using Kind = AnswerKind;

// All of them hold: one that does not decides, then one that is not known.
class All {
 public:
  // False when no more need to be looked at.
  bool add(Verdict verdict) {
    if (!verdict) unknown_ = true;
    if (verdict == Verdict(false)) wrong_ = true;
    return !wrong_;
  }
  Verdict verdict() const { return wrong_ ? Verdict(false) : unknown_ ? Verdict() : Verdict(true); }

 private:
  bool wrong_ = false, unknown_ = false;
};

Expression difference(const Expression& a, const Expression& b) {
  return Expression::of(Op::kAdd, {a, Expression::of(Op::kNegate, {b})});
}
Expression product(Expression a, Expression b) {
  return Expression::of(Op::kMultiply, {std::move(a), std::move(b)});
}

struct Fraction {
  Expression over, under;
};
// A formula as one fraction, without cancelling anything: what it is over decides where it is 0. nullopt: it
// becomes too large, as a continued fraction does, which doubles with each level.
std::optional<Fraction> as_fraction(const Expression& e) {
  constexpr int64_t kMostCost = 3000;
  const Expression one = Expression::number(Rational::of(1));
  const bool combines =
      e.op == Op::kNegate || e.op == Op::kDivide || e.op == Op::kAdd || e.op == Op::kMultiply;
  if (!combines) return Fraction{e, one};
  std::optional<Fraction> out = as_fraction(e.args[0]);
  if (out && e.op == Op::kNegate) out->over = Expression::of(Op::kNegate, {out->over});
  for (size_t i = 1; i < e.args.size() && out; ++i) {
    std::optional<Fraction> next = as_fraction(e.args[i]);
    if (!next) return std::nullopt;
    if (e.op == Op::kDivide) std::swap(next->over, next->under);
    const bool whole = next->under.op == Op::kRational && next->under.value == Rational::of(1);
    if (e.op == Op::kAdd)
      out->over = Expression::of(
          Op::kAdd, {product(std::move(out->over), next->under), product(std::move(next->over), out->under)});
    else
      out->over = product(std::move(out->over), std::move(next->over));
    if (!whole) out->under = product(std::move(out->under), std::move(next->under));
    if (cost_of(out->over) + cost_of(out->under) > kMostCost) return std::nullopt;
  }
  return out;
}

std::set<std::string> symbols_of(const std::vector<Expression>& sides) {
  std::set<std::string> out;
  for (const Expression& side : sides)
    each_node(side, [&](const Expression& e) {
      if (e.op == Op::kSymbol) out.insert(e.name);
    });
  return out;
}

class Comparison {
 public:
  explicit Comparison(double tolerance) : tolerance_(tolerance) {}

  Verdict same(const FinalAnswer& a, const FinalAnswer& b) {
    if (a.kind == Kind::kText || b.kind == Kind::kText) return texts(a, b);
    if (a.kind == Kind::kChoice || b.kind == Kind::kChoice) return choices(a, b);
    if (!a.name.empty() && !b.name.empty() && a.name != b.name && a.kind != Kind::kEquation &&
        b.kind != Kind::kEquation)
      return false;
    if (is_quantity(a) && is_quantity(b)) return quantities(a, b);
    if (a.kind == Kind::kEquation || b.kind == Kind::kEquation) return equations(a, b);
    if (a.kind == Kind::kRatio || a.kind == Kind::kTime || b.kind == Kind::kRatio || b.kind == Kind::kTime)
      return ratios(a, b);
    if (a.kind == Kind::kBase || b.kind == Kind::kBase) return bases(a, b);
    if (a.kind == Kind::kMatrix || b.kind == Kind::kMatrix) return matrices(a, b);
    if (a.kind == Kind::kInequality && b.kind == Kind::kInequality) return inequalities(a, b);
    if (a.kind == Kind::kTuple && b.kind == Kind::kTuple) return tuples(a, b);
    if (describes_reals(a) || describes_reals(b)) return reals(a, b);
    if (holds_any_order(a) && holds_any_order(b)) return any_order(a, b);
    // "1, 2" for the point (1, 2).
    if ((a.kind == Kind::kTuple && b.kind == Kind::kList) ||
        (a.kind == Kind::kList && b.kind == Kind::kTuple))
      return in_order(a.parts, b.parts);
    return false;
  }

 private:
  static bool is_quantity(const FinalAnswer& a) {
    return a.kind == Kind::kNumber || a.kind == Kind::kExpression;
  }
  static bool describes_reals(const FinalAnswer& a) {
    return a.kind == Kind::kInterval || a.kind == Kind::kUnion || a.kind == Kind::kInequality;
  }
  static bool holds_any_order(const FinalAnswer& a) { return a.kind == Kind::kSet || a.kind == Kind::kList; }

  static Verdict texts(const FinalAnswer& a, const FinalAnswer& b) {
    const FinalAnswer& text = a.kind == Kind::kText ? a : b;
    const FinalAnswer& other = a.kind == Kind::kText ? b : a;
    if (other.kind == Kind::kText || other.kind == Kind::kExpression) {
      if (a.text == b.text) return true;
    }
    if (other.kind != Kind::kText) return text.plain ? Verdict(false) : std::nullopt;
    if (!a.plain || !b.plain) return std::nullopt;
    const std::string &shorter = a.text.size() < b.text.size() ? a.text : b.text,
                      &longer = a.text.size() < b.text.size() ? b.text : a.text;
    // "evelyn is the fastest" for "evelyn"; "yes or no" is not "yes", "not even" not "even".
    const std::string within = " " + longer + " ";
    const bool part = within.find(" " + shorter + " ") != std::string::npos;
    for (const std::string_view other_word : {" or ", " not ", ","}) {
      if (within.find(other_word) != std::string::npos) return false;
    }
    return part ? Verdict() : Verdict(false);
  }

  Verdict choices(const FinalAnswer& a, const FinalAnswer& b) {
    if (a.kind == b.kind) return a.text == b.text;
    const FinalAnswer &choice = a.kind == Kind::kChoice ? a : b, &other = a.kind == Kind::kChoice ? b : a;
    if (!choice.parts.empty()) return same(choice.parts.front(), other);
    const bool letter =
        other.kind == Kind::kExpression && other.value.op == Op::kSymbol && other.value.name.size() == 1;
    if (letter) return std::toupper(static_cast<unsigned char>(other.value.name[0])) == choice.text[0];
    // What the letter stands for is not known, but that the answer to a number is one.
    return is_quantity(other) && &other == &b ? std::nullopt : Verdict(false);
  }

  // A formula of the value, in base units where a unit is given.
  static Expression in_units(const FinalAnswer& a, const std::optional<Measure>& unit) {
    Expression value =
        a.kind == Kind::kNumber ? Expression::number(a.number->value, a.number->decimal) : a.value;
    return unit ? product(std::move(value), Expression::number(unit->factor)) : value;
  }
  static const std::string& unit_of(const FinalAnswer& a) {
    return a.kind == Kind::kNumber ? a.number->unit : a.unit;
  }

  Verdict quantities(const FinalAnswer& a, const FinalAnswer& b) {
    if (a.kind == Kind::kNumber && b.kind == Kind::kNumber) {
      const bool same = same_number(*a.number, *b.number, tolerance_);
      return same && other_things(a.number->unit, b.number->unit) ? Verdict() : Verdict(same);
    }
    std::optional<Measure> of_a, of_b;
    if (unit_of(a) != unit_of(b)) {
      of_a = known_measure(unit_of(a));
      of_b = known_measure(unit_of(b));
      if (of_a && of_b && of_a->dimension != of_b->dimension) return false;
      if (const Verdict angle = degrees(a, b, of_a, of_b); angle == Verdict(true)) return angle;
      if (!of_a || !of_b) of_a = of_b = std::nullopt;
    }
    const Verdict verdict = same_expression(in_units(a, of_a), in_units(b, of_b), tolerance_, work_);
    const FinalAnswer* scaled = a.number && a.number->scaled   ? &a
                                : b.number && b.number->scaled ? &b
                                                               : nullptr;
    if (verdict != Verdict(false) || scaled == nullptr) return verdict;
    const FinalAnswer& other = scaled == &a ? b : a;
    return same_expression(Expression::number(*scaled->number->scaled, scaled->number->decimal), other.value,
                           tolerance_, work_);
  }

  // 5 apples and 5 oranges: words of which no measure is known, one at least, that have nothing in common.
  static bool other_things(const std::string& a, const std::string& b) {
    if (a.empty() || b.empty() || (known_measure(a) && known_measure(b))) return false;
    const size_t stem = std::max<size_t>(std::min(a.size(), b.size()), 2) - 1;  // of plurals
    return a.find(b.substr(0, stem)) == std::string::npos && b.find(a.substr(0, stem)) == std::string::npos;
  }

  // 90 degrees beside pi/2 without a unit.
  Verdict degrees(const FinalAnswer& a, const FinalAnswer& b, const std::optional<Measure>& of_a,
                  const std::optional<Measure>& of_b) {
    const auto angle = [](const std::optional<Measure>& unit) { return unit && unit->dimension[3] == 1; };
    if (angle(of_a) == angle(of_b)) return std::nullopt;
    const FinalAnswer &turned = angle(of_a) ? a : b, &other = angle(of_a) ? b : a;
    if (!unit_of(other).empty() || other.kind != Kind::kExpression || !has_op(other.value, Op::kPi))
      return std::nullopt;
    const Expression half_turn =
        Expression::of(Op::kDivide, {Expression::constant(Op::kPi), Expression::number(Rational::of(180))});
    return same_expression(product(in_units(turned, std::nullopt), half_turn), other.value, tolerance_,
                           work_);
  }

  Verdict equations(const FinalAnswer& a, const FinalAnswer& b) {
    if (a.kind == Kind::kEquation && b.kind == Kind::kEquation) {
      if (!a.name.empty() && a.name == b.name)
        return same_expression(a.sides[1], b.sides[1], tolerance_, work_);
      const Expression zero_a = difference(a.sides[0], a.sides[1]),
                       zero_b = difference(b.sides[0], b.sides[1]);
      const Verdict plain = proportional(zero_a, zero_b, false, work_);
      if (plain != Verdict(false)) return plain;
      const auto of_a = as_fraction(zero_a), of_b = as_fraction(zero_b);
      return of_a && of_b ? proportional(of_a->over, of_b->over, false, work_) : std::nullopt;
    }
    // y = 2x for 2x.
    const FinalAnswer &equation = a.kind == Kind::kEquation ? a : b,
                      &other = a.kind == Kind::kEquation ? b : a;
    // "2x = 10" is not yet "x = 5".
    if (equation.name.empty() || !is_quantity(other) || !other.name.empty()) return false;
    FinalAnswer right;
    right.kind = Kind::kExpression;
    right.value = equation.sides[1];
    right.unit = equation.unit;
    return quantities(right, other);
  }

  Verdict ratios(const FinalAnswer& a, const FinalAnswer& b) {
    const auto shown = [](const FinalAnswer& x) { return x.kind == Kind::kRatio || x.kind == Kind::kTime; };
    if (shown(a) && shown(b)) {
      const bool time = a.kind == Kind::kTime || b.kind == Kind::kTime;
      if (time && !a.text.empty() && !b.text.empty() && a.text != b.text) return false;
      if (a.parts.size() != b.parts.size()) return false;
      if (time) return in_order(a.parts, b.parts);
      All all;
      for (size_t i = 1; i < a.parts.size(); ++i) {
        const Expression left = product(value_of(a.parts[i]), value_of(b.parts[0]));
        const Expression right = product(value_of(b.parts[i]), value_of(a.parts[0]));
        if (!all.add(same_expression(left, right, 0, work_))) break;
      }
      return all.verdict();
    }
    const FinalAnswer &ratio = shown(a) ? a : b, &other = shown(a) ? b : a;
    if (other.kind == Kind::kNumber && ratio.kind == Kind::kTime) {  // 10 am
      const std::string half = half_of_day(other.number->unit);
      const bool on_the_hour =
          std::all_of(ratio.parts.begin() + 1, ratio.parts.end(),
                      [](const FinalAnswer& part) { return part.number && part.number->value.is_zero(); });
      return half == ratio.text && on_the_hour ? same(ratio.parts[0], plain(other)) : Verdict(false);
    }
    if (!is_quantity(other) || ratio.parts.size() != 2 || ratio.kind == Kind::kTime) return false;
    const Expression quotient =
        Expression::of(Op::kDivide, {value_of(ratio.parts[0]), value_of(ratio.parts[1])});
    return same_expression(quotient, value_of(other), tolerance_, work_);
  }
  static Expression value_of(const FinalAnswer& a) { return in_units(a, std::nullopt); }
  static FinalAnswer plain(FinalAnswer a) {
    a.number->unit.clear();
    return a;
  }

  static Verdict bases(const FinalAnswer& a, const FinalAnswer& b) {
    if (a.kind == Kind::kBase && b.kind == Kind::kBase) return a.number->value == b.number->value;
    const FinalAnswer &based = a.kind == Kind::kBase ? a : b, &other = a.kind == Kind::kBase ? b : a;
    if (other.kind != Kind::kNumber) return false;
    // Who asks for 204_5 is answered by 204; 204_5 itself is 54.
    const bool digits = &based == &a && other.number->value.to_string() == based.text;
    const bool value = &based == &b && other.number->value == based.number->value;
    return (digits || value) && other.number->unit.empty();
  }

  Verdict matrices(const FinalAnswer& a, const FinalAnswer& b) {
    const auto vector = [](const FinalAnswer& m) {
      return m.columns == 1 || m.columns == static_cast<int64_t>(m.parts.size());
    };
    if (a.kind == b.kind) return a.columns == b.columns ? in_order(a.parts, b.parts) : Verdict(false);
    const FinalAnswer &matrix = a.kind == Kind::kMatrix ? a : b, &other = a.kind == Kind::kMatrix ? b : a;
    return other.kind == Kind::kTuple && vector(matrix) ? in_order(a.parts, b.parts) : Verdict(false);
  }

  Verdict inequalities(const FinalAnswer& a, const FinalAnswer& b) {
    if (symbols_of(a.sides) != symbols_of(b.sides)) return false;
    const auto set_a = solution_set(a), set_b = solution_set(b);
    if (set_a && set_b) {
      if (const Verdict verdict = same_reals(*set_a, *set_b, work_)) return verdict;
    }
    if (a.sides.size() == 2 && b.sides.size() == 2) {
      // Everything on the greater side.
      const auto greater = [](const FinalAnswer& x) {
        const bool less = x.relations[0] == Relation::kLess || x.relations[0] == Relation::kLessEqual;
        return less ? difference(x.sides[1], x.sides[0]) : difference(x.sides[0], x.sides[1]);
      };
      const auto strictness = [](Relation r) {
        return r == Relation::kNotEqual ? 2 : r == Relation::kLess || r == Relation::kGreater ? 1 : 0;
      };
      if (strictness(a.relations[0]) != strictness(b.relations[0])) return false;
      return proportional(greater(a), greater(b), a.relations[0] != Relation::kNotEqual, work_);
    }
    if (a.sides.size() != b.sides.size()) return false;
    All all;
    for (size_t i = 0; i < a.sides.size(); ++i) {
      if (i < a.relations.size() && a.relations[i] != b.relations[i]) return false;
      if (!all.add(same_expression(a.sides[i], b.sides[i], 0, work_))) break;
    }
    return all.verdict();
  }

  Verdict tuples(const FinalAnswer& a, const FinalAnswer& b) {
    if (a.open != b.open || a.close != b.close) return false;
    return in_order(a.parts, b.parts);
  }

  // Of two of which one at least is an interval, a union or an inequality.
  Verdict reals(const FinalAnswer& a, const FinalAnswer& b) {
    const auto set_of = [](const FinalAnswer& x) {
      return x.kind == Kind::kInequality || x.kind == Kind::kList ? solution_set(x) : std::optional(x);
    };
    const auto x = set_of(a), y = set_of(b);
    const auto point = [](const FinalAnswer& of) { return of.kind == Kind::kTuple && of.parts.size() != 2; };
    if (!x || !y || point(*x) || point(*y)) return false;
    if (const Verdict verdict = same_reals(*x, *y, work_)) return verdict;
    if (x->kind != y->kind) return is_quantity(*x) || is_quantity(*y) ? Verdict(false) : std::nullopt;
    if (x->kind == Kind::kInterval) return tuples(*x, *y);
    return any_order(*x, *y);
  }

  Verdict in_order(const std::vector<FinalAnswer>& a, const std::vector<FinalAnswer>& b) {
    if (a.size() != b.size()) return false;
    All all;
    for (size_t i = 0; i < a.size(); ++i)
      if (!all.add(same(a[i], b[i]))) break;
    return all.verdict();
  }

  // Each member has its like on the other side; in lists, one of its own.
  Verdict any_order(const FinalAnswer& a, const FinalAnswer& b) {
    const bool once = a.kind == Kind::kList && b.kind == Kind::kList;
    if (once && a.parts.size() != b.parts.size()) return false;
    std::vector<bool> taken(b.parts.size(), false);
    bool unknown = false;
    for (const FinalAnswer& part : a.parts) {
      Verdict found = false;
      for (size_t i = 0; i < b.parts.size() && found != Verdict(true); ++i) {
        if (once && taken[i]) continue;
        const Verdict verdict = same(part, b.parts[i]);
        if (verdict == Verdict(true)) taken[i] = true;
        if (!verdict || *verdict) found = verdict;
      }
      if (work_.spent()) return std::nullopt;
      if (found == Verdict(false)) return false;
      unknown = unknown || !found;
    }
    if (unknown) return std::nullopt;
    for (size_t i = 0; i < b.parts.size() && !once; ++i) {
      if (taken[i]) continue;
      Verdict found = false;
      for (const FinalAnswer& part : a.parts) {
        const Verdict verdict = same(part, b.parts[i]);
        if (!verdict || *verdict) found = verdict;
        if (found == Verdict(true)) break;
      }
      if (found != Verdict(true)) return found;
    }
    return true;
  }

  double tolerance_;
  Work work_;
};

}  // namespace

std::optional<bool> same_answer(const FinalAnswer& reference, const FinalAnswer& given, double tolerance) {
  return Comparison(tolerance).same(reference, given);
}

}  // namespace temper
