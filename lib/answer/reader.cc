#include "answer/reader.h"

#include <algorithm>
#include <cctype>
#include <string>
#include <utility>

#include "answer/formula_reader.h"
#include "answer/number_context.h"
#include "answer/real_set.h"
#include "answer/term_reader.h"

namespace temper {
namespace {

using TokenKind = Token::Kind;
using Result = std::optional<FinalAnswer>;

std::optional<Relation> relation_of(const Token& t) {
  if (t.mark("<")) return Relation::kLess;
  if (t.mark(">")) return Relation::kGreater;
  if (t.command("le")) return Relation::kLessEqual;
  if (t.command("ge")) return Relation::kGreaterEqual;
  if (t.command("ne")) return Relation::kNotEqual;
  return std::nullopt;
}

bool is_name(const FinalAnswer& answer) {
  return answer.kind == AnswerKind::kExpression && answer.value.op == Op::kSymbol && answer.unit.empty();
}
bool is_formula(const FinalAnswer& answer) {
  return answer.kind == AnswerKind::kExpression;
}
bool separates(const Token& t) {
  return t.mark(",") || t.mark(";") || t.command("and") || t.command("or");
}

class AnswerReader {
 public:
  explicit AnswerReader(const std::vector<Token>& tokens) : tokens_(tokens), formula_(tokens) {}

  Result whole() {
    if (peek().kind == TokenKind::kEnd) return std::nullopt;
    std::vector<FinalAnswer> parts = several(true);
    if (parts.empty() || peek().kind != TokenKind::kEnd) return std::nullopt;
    if (parts.size() == 1) return std::move(parts.front());
    FinalAnswer list;
    list.kind = AnswerKind::kList;
    list.parts = std::move(parts);
    return list;
  }

 private:
  const Token& peek(size_t ahead = 0) const { return formula_.peek(ahead); }
  void advance(size_t count = 1) { formula_.at += count; }

  // Items with commas or "and" between them; none when one of them cannot be read. Where `both`, one with \pm
  // is two.
  std::vector<FinalAnswer> several(bool both) {
    std::vector<FinalAnswer> out;
    bool swings = formula_.saw_pm;
    do {
      while (!out.empty() && separates(peek())) advance();
      const size_t start = formula_.at;
      formula_.saw_pm = false;
      Result one = item();
      if (!one || out.size() > kMaxParts) return {};
      out.push_back(std::move(*one));
      if (both && formula_.saw_pm) {
        formula_.at = start;
        formula_.plus = false;
        one = item();
        formula_.plus = true;
        if (!one) return {};
        out.push_back(std::move(*one));
        formula_.saw_pm = false;
      }
      swings = swings || formula_.saw_pm;
    } while (separates(peek()));
    formula_.saw_pm = swings;
    return out;
  }

  // Operands with relations between them, or a ratio.
  Result item() {
    const std::string function_name = skip_name();
    Result first = operand();
    if (!first) return std::nullopt;
    if (peek().mark(":") && is_formula(*first)) return ratio(std::move(*first));
    if (!function_name.empty()) {
      while (peek().mark("=")) {  // f(x) = (x+1)^2 = ...: the last
        advance();
        first = operand();
        if (!first) return std::nullopt;
      }
      return first;
    }
    if (peek().command("in") && is_name(*first)) {
      advance();
      return operand();
    }
    if (peek().command("approx")) return approximated(std::move(*first));
    if (peek().mark("=")) return equation(std::move(*first));
    if (relation_of(peek())) return inequality(std::move(*first));
    return first;
  }

  // What stands in front of "=" and only names the value: "f(x)", "AB", words. Moves behind the "=". "":
  // nothing.
  std::string skip_name() {
    const size_t start = formula_.at;
    std::string name;
    size_t at = start;
    const auto token = [&](size_t i) -> const Token& {
      return i < tokens_.size() ? tokens_[i] : tokens_.back();
    };
    if (token(at).kind == TokenKind::kText) {
      while (token(at).kind == TokenKind::kText || token(at).kind == TokenKind::kLetter)
        name += token(at++).text;
    } else if (capital(token(at)) && capital(token(at + 1))) {
      while (capital(token(at))) name += token(at++).text;
    } else if (token(at).kind == TokenKind::kLetter) {
      name = token(at++).text;
      if (token(at).mark("^") && token(at + 1).mark("{") && token(at + 2).mark("-") &&
          token(at + 4).mark("}"))
        at += 5;
      while (token(at).mark("'")) ++at;
      if (!token(at).mark("(")) return {};
      const size_t partner = formula_.bracket(at).partner;
      if (partner == 0) return {};
      at = partner + 1;
    }
    if (name.empty() ||
        !(token(at).mark("=") || (token(at).mark(":") && token(start).kind == TokenKind::kText)))
      return {};
    formula_.at = at + 1;
    return name;
  }

  Result ratio(FinalAnswer first) {
    FinalAnswer out;
    out.kind = AnswerKind::kRatio;
    out.parts.push_back(std::move(first));
    while (peek().mark(":")) {
      advance();
      // Minutes in front of "p.m." are no product.
      const bool minutes = peek().kind == TokenKind::kNumeral && peek(1).kind == TokenKind::kLetter;
      auto next = minutes ? Expression::number(peek().value, peek().decimal) : formula_.sum();
      if (minutes) advance();
      if (!next || out.parts.size() > 8) return std::nullopt;
      FinalAnswer part;
      part.kind = AnswerKind::kExpression;
      part.value = std::move(*next);
      out.parts.push_back(std::move(part));
    }
    std::string half;
    while (peek().kind == TokenKind::kText) {
      half += peek().text;
      advance();
    }
    // "p.m." comes as letters and full stops where no \text holds it.
    while (peek().mark(".") || (peek().kind == TokenKind::kLetter &&
                                std::string_view("aApPmM").find(peek().text) != std::string_view::npos)) {
      half += peek().text;
      advance();
    }
    half = half_of_day(half);
    if (half == "am" || half == "pm") {
      out.kind = AnswerKind::kTime;
      out.text = half;
    } else if (!half.empty()) {
      out.unit = half;
    }
    return out;
  }

  // "1/3 \approx 0.333" is 1/3; "x \approx 3.14" is 3.14.
  Result approximated(FinalAnswer first) {
    while (peek().command("approx") || peek().mark("=")) {
      advance();
      Result next = operand();
      if (!next) return std::nullopt;
      if (is_name(first)) {
        next->name = first.value.name;
        first = std::move(*next);
      }
    }
    return first;
  }

  Result equation(FinalAnswer first) {
    std::vector<FinalAnswer> sides;
    sides.push_back(std::move(first));
    while (peek().mark("=")) {
      advance();
      Result next = operand();
      if (!next || sides.size() > 8) return std::nullopt;
      sides.push_back(std::move(*next));
    }
    if (peek().command("approx") && is_formula(sides.back())) {
      Result last = approximated(std::move(sides.back()));
      if (!last) return std::nullopt;
      sides.back() = std::move(*last);
    }
    if (relation_of(peek())) return std::nullopt;
    FinalAnswer &left = sides.front(), &right = sides.back();
    const bool named = is_name(left);
    if (!is_formula(right)) {  // "A = \{1, 2\}"
      const bool names =
          left.kind == AnswerKind::kTuple && std::all_of(left.parts.begin(), left.parts.end(), is_name);
      if (names) return std::move(right);  // "(x, y) = (1, 2)"
      if (!named) return std::nullopt;
      right.name = left.value.name;
      return std::move(right);
    }
    if (std::any_of(sides.begin(), sides.end(), [](const FinalAnswer& side) { return !is_formula(side); }))
      return std::nullopt;
    // Work: sqrt(12)/2 = sqrt(3).
    if (std::all_of(sides.begin(), sides.end(),
                    [](const FinalAnswer& side) { return is_constant(side.value); }))
      return std::move(right);
    if (sides.size() > 2 && !named) return std::nullopt;
    FinalAnswer out;
    out.kind = AnswerKind::kEquation;
    if (named) out.name = left.value.name;
    out.unit = right.unit;
    out.sides = {std::move(left.value), std::move(right.value)};
    return out;
  }

  Result inequality(FinalAnswer first) {
    FinalAnswer out;
    out.kind = AnswerKind::kInequality;
    if (!is_formula(first)) return std::nullopt;
    out.sides.push_back(std::move(first.value));
    while (const auto relation = relation_of(peek())) {
      advance();
      Result next = operand();
      if (!next || !is_formula(*next) || out.sides.size() > 8) return std::nullopt;
      out.relations.push_back(*relation);
      out.sides.push_back(std::move(next->value));
      out.unit = next->unit;
    }
    return peek().mark("=") ? std::nullopt : Result(std::move(out));
  }

  // Sets with \cup between them, what is taken out of them, or a formula.
  Result operand() {
    Result first = term();
    if (!first) return std::nullopt;
    if (peek().command("setminus")) {
      advance();
      Result out_of = term();
      return out_of ? without(*first, *out_of) : std::nullopt;
    }
    const auto unites = [&] {
      return peek().command("cup") || (!is_formula(*first) && peek().is(TokenKind::kLetter, "U"));
    };
    if (!unites()) return first;
    FinalAnswer out;
    out.kind = AnswerKind::kUnion;
    out.parts.push_back(*first);
    while (unites()) {
      advance();
      Result next = term();
      if (!next || out.parts.size() > kMaxParts) return std::nullopt;
      out.parts.push_back(std::move(*next));
    }
    for (FinalAnswer& part : out.parts) {
      const bool pair = part.kind == AnswerKind::kTuple && part.parts.size() == 2;
      if (pair) part.kind = AnswerKind::kInterval;
      const bool set = part.kind == AnswerKind::kInterval || part.kind == AnswerKind::kSet ||
                       part.kind == AnswerKind::kUnion;
      if (!set) return std::nullopt;
    }
    return out;
  }

  Result term() {
    const Token& t = peek();
    const bool bracket = t.mark("(") || t.mark("[") || t.command("langle");
    if (bracket && formula_.bracket(formula_.at).comma) return tuple();
    if (t.command("{") || (t.mark("{") && formula_.bracket(formula_.at).comma)) return set();
    if (t.command("emptyset")) {
      advance();
      FinalAnswer empty;
      empty.kind = AnswerKind::kSet;
      return empty;
    }
    if (t.command("mathbb R")) {
      advance();
      return all_reals();
    }
    if (begins_matrix(t)) return read_matrix(formula_);
    // ((1, 2) u (3, 4)) u (5, 6)
    if (t.mark("(") && (peek(1).mark("(") || peek(1).mark("[")) && holds_union(formula_.at)) {
      if (++depth_ > FormulaReader::kMaxDepth) return std::nullopt;
      advance();
      Result inner = operand();
      --depth_;
      if (!inner || !peek().mark(")")) return std::nullopt;
      advance();
      return inner;
    }
    if ((t.mark("(") || t.mark("[")) && begins_matrix(peek(1))) {
      advance();
      Result inner = read_matrix(formula_);
      if (!inner || !(peek().mark(")") || peek().mark("]"))) return std::nullopt;
      advance();
      return inner;
    }
    return read_formula(formula_);
  }

  bool holds_union(size_t open) const {
    const size_t partner = formula_.bracket(open).partner;
    return std::any_of(tokens_.begin() + static_cast<std::ptrdiff_t>(open),
                       tokens_.begin() + static_cast<std::ptrdiff_t>(std::max(partner, open)),
                       [](const Token& t) { return t.command("cup"); });
  }

  Result tuple() {
    const Token& t = peek();
    FinalAnswer out;
    out.kind = AnswerKind::kTuple;
    out.open = t.kind == TokenKind::kMark ? t.text[0] : '(';
    const size_t partner = formula_.bracket(formula_.at).partner;
    advance();
    if (partner == 0 || ++depth_ > FormulaReader::kMaxDepth) return std::nullopt;
    out.parts = several(false);
    --depth_;
    if (formula_.at != partner || out.parts.empty()) return std::nullopt;
    out.close = peek().kind == TokenKind::kMark ? peek().text[0] : ')';
    advance();
    const auto endless = [](const FinalAnswer& part) { return has_op(part.value, Op::kInfinity); };
    if (out.parts.size() == 2 &&
        (out.open == '[' || out.close == ']' || endless(out.parts[0]) || endless(out.parts[1])))
      out.kind = AnswerKind::kInterval;
    return out;
  }

  Result set() {
    const size_t partner = formula_.bracket(formula_.at).partner;
    const bool shown = peek().kind == TokenKind::kCommand;  // LaTeX shows \{, and of {1, 2} a list
    advance();
    if (partner == 0 || ++depth_ > FormulaReader::kMaxDepth) return std::nullopt;
    FinalAnswer out;
    out.kind = shown ? AnswerKind::kSet : AnswerKind::kList;
    if (formula_.at < partner) {
      // {x | x > 3}, {x : ...}
      size_t bar = formula_.at;
      while (bar < partner && bar < formula_.at + 8 && !tokens_[bar].mark("|") && !tokens_[bar].mark(":"))
        ++bar;
      const bool built = tokens_[formula_.at].kind == TokenKind::kLetter && bar < partner &&
                         bar > formula_.at && (tokens_[bar].mark("|") || tokens_[bar].mark(":"));
      if (built) formula_.at = bar + 1;
      out.parts = several(true);
      if (formula_.at != partner || out.parts.empty()) return std::nullopt;
      if (built) {
        if (out.parts.size() != 1) return std::nullopt;
        FinalAnswer member = std::move(out.parts.front());
        out = std::move(member);
      }
    }
    --depth_;
    advance();
    return out;
  }

  const std::vector<Token>& tokens_;
  FormulaReader formula_;
  int depth_ = 0;
};

}  // namespace

std::optional<FinalAnswer> read_tokens(const std::vector<Token>& tokens) {
  return AnswerReader(tokens).whole();
}

}  // namespace temper
