#include "answer/formula_reader.h"

#include <utility>

#include "answer/number_context.h"

namespace temper {
namespace {

constexpr int kMaxBehind = 4;  // powers, ! and signs behind one base

Expression integer(int64_t value) {
  return Expression::number(Rational::of(value));
}
bool one_of(const Token& token, std::initializer_list<std::string_view> marks) {
  for (const std::string_view mark : marks)
    if (token.mark(mark)) return true;
  return false;
}
bool opens(const Token& t) {
  return one_of(t, {"(", "[", "{"}) || t.command("{") || t.command("langle") || t.command("lfloor") ||
         t.command("lceil");
}
bool closes(const Token& t) {
  return one_of(t, {")", "]", "}"}) || t.command("}") || t.command("rangle") || t.command("rfloor") ||
         t.command("rceil");
}
// ( and ] go together in intervals; of the others each has its own.
char closer(const Token& t) {
  if (t.mark("(") || t.mark("[") || t.mark(")") || t.mark("]")) return ')';
  return t.kind == Token::Kind::kMark ? '}' : t.text.back() == '}' || t.text.back() == '{' ? 's' : t.text[1];
}

bool is_zero(const Expression& e) {
  const auto value = rational_value(e);
  return value && value->is_zero();
}

class Deeper {
 public:
  explicit Deeper(int& depth) : depth_(depth) { ++depth_; }
  ~Deeper() { --depth_; }

 private:
  int& depth_;
};

}  // namespace

FormulaReader::FormulaReader(const std::vector<Token>& tokens) : tokens_(tokens), brackets_(tokens.size()) {
  std::vector<size_t> open;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (opens(tokens[i])) {
      open.push_back(i);
    } else if (closes(tokens[i])) {
      if (open.empty() || closer(tokens[open.back()]) != closer(tokens[i])) continue;
      brackets_[open.back()].partner = i;
      open.pop_back();
    } else if ((tokens[i].mark(",") || tokens[i].mark(";")) && !open.empty()) {
      brackets_[open.back()].comma = true;
    }
  }
}

const Token& FormulaReader::peek(size_t ahead) const {
  return at + ahead < tokens_.size() ? tokens_[at + ahead] : tokens_.back();
}

std::optional<Expression> FormulaReader::sum() {
  const Deeper deeper(depth_);
  if (depth_ > kMaxDepth) return std::nullopt;
  std::vector<Expression> terms;
  while (true) {
    bool negative = false, signs = false;
    while (one_of(peek(), {"+", "-"}) || peek().command("pm") || peek().command("mp")) {
      const bool swings = peek().kind == Token::Kind::kCommand;
      saw_pm = saw_pm || swings;
      if (swings ? (peek().text == "pm") != plus : peek().text == "-") negative = !negative;
      signs = true;
      ++at;
    }
    if (!terms.empty() && !signs) break;
    auto term = product();
    if (!term) return std::nullopt;
    terms.push_back(negative ? Expression::of(Op::kNegate, {std::move(*term)}) : std::move(*term));
  }
  return terms.size() == 1 ? std::move(terms.front()) : Expression::of(Op::kAdd, std::move(terms));
}

bool FormulaReader::starts_factor() const {
  const Token& t = peek();
  switch (t.kind) {
    case Token::Kind::kNumeral:
    case Token::Kind::kLetter:
      return true;
    case Token::Kind::kMark:
      return t.text == "{" || (t.text == "|" && in_bars_ == 0) ||
             ((t.text == "(" || t.text == "[") && !bracket(at).comma);
    case Token::Kind::kCommand:
      return t.text == "frac" || t.text == "sqrt" || t.text == "pi" || t.text == "infty" ||
             t.text == "binom" || t.text == "lfloor" || t.text == "lceil" || t.text == "overline" ||
             t.text == "log10" || known_function(t.text).has_value();
    default:
      return false;
  }
}

// Factors with or without operators between them, from the left.
std::optional<Expression> FormulaReader::product() {
  auto first = factor();
  if (!first) return std::nullopt;
  std::vector<Expression> factors;
  factors.push_back(std::move(*first));
  while (true) {
    const bool times = peek().mark("*"), over = peek().mark("/");
    if (times || over)
      ++at;
    else if (!starts_factor())
      break;
    bool negative = false;
    while ((times || over) && one_of(peek(), {"-", "+"}))
      negative = tokens_[at++].text == "-" ? !negative : negative;
    auto next = factor();
    if (!next) return std::nullopt;
    if (negative) next = Expression::of(Op::kNegate, {std::move(*next)});
    if (over && is_zero(*next)) return std::nullopt;
    if (over) {
      Expression above = factors.size() == 1 ? std::move(factors.front())
                                             : Expression::of(Op::kMultiply, std::move(factors));
      factors.clear();
      factors.push_back(Expression::of(Op::kDivide, {std::move(above), std::move(*next)}));
    } else {
      factors.push_back(std::move(*next));
    }
  }
  return factors.size() == 1 ? std::move(factors.front()) : Expression::of(Op::kMultiply, std::move(factors));
}

// A base with what hangs behind it: powers, !, percent and degree signs.
std::optional<Expression> FormulaReader::factor() {
  const Deeper deeper(depth_);
  if (depth_ > kMaxDepth) return std::nullopt;
  const size_t start = at;
  Result out = base();
  for (int behind = 0; out; ++behind) {
    if (behind > kMaxBehind) return std::nullopt;
    if (peek().mark("^") && (peek(1).command("circ") || (peek(1).mark("{") && peek(2).command("circ")))) {
      at += peek(1).mark("{") ? 4 : 2;
    } else if (peek().command("circ")) {
      ++at;
    } else if (peek().mark("^")) {
      ++at;
      auto power = exponent();
      if (!power) return std::nullopt;
      out = Expression::of(Op::kPower, {std::move(*out), std::move(*power)});
      continue;
    } else if (peek().mark("!")) {
      ++at;
      if (peek().mark("!")) return std::nullopt;  // n!! is another function
      out = Expression::call("factorial", {std::move(*out)});
      continue;
    } else if (peek().mark("%")) {
      ++at;
      out = Expression::of(Op::kDivide, {std::move(*out), integer(100)});
      continue;
    } else {
      break;
    }
    // A degree sign.
    if (in_function_ > 0)
      out = Expression::of(
          Op::kMultiply,
          {std::move(*out), Expression::of(Op::kDivide, {Expression::constant(Op::kPi), integer(180)})});
    else
      saw_degrees = true;
  }
  // 1\frac{1}{2} and 1 1/2 are mixed numbers.
  if (!out || tokens_[start].kind != Token::Kind::kNumeral || at != start + 1 || !out->value.is_integer() ||
      out->decimal)
    return out;
  if (peek().command("frac")) {
    const size_t before = at;
    auto part = fraction("frac");
    const auto value = part ? rational_value(*part) : std::nullopt;
    const bool digits = part && part->args[0].op == Op::kRational && part->args[1].op == Op::kRational;
    const auto total = value && digits ? out->value.plus(*value) : std::nullopt;
    if (total) return Expression::number(*total);
    at = before;
  } else if (peek().kind == Token::Kind::kNumeral && peek().blank_before && peek(1).mark("/") &&
             peek(2).kind == Token::Kind::kNumeral) {
    const auto part = peek().value.over(peek(2).value);
    const auto total = part ? out->value.plus(*part) : std::nullopt;
    if (!total) return std::nullopt;
    at += 3;
    return Expression::number(*total);
  }
  return out;
}

// "^{...}", "^2", "^-2", "^(1/2)".
std::optional<Expression> FormulaReader::exponent() {
  bool negative = false;
  while (one_of(peek(), {"-", "+"})) negative = tokens_[at++].text == "-" ? !negative : negative;
  Result out = peek().mark("(") ? group(")") : braces_or_one();
  if (out && peek().mark("^")) {  // 2^3^2
    ++at;
    const Deeper deeper(depth_);
    if (depth_ > kMaxDepth) return std::nullopt;
    auto power = exponent();
    if (!power) return std::nullopt;
    out = Expression::of(Op::kPower, {std::move(*out), std::move(*power)});
  }
  return out && negative ? Expression::of(Op::kNegate, {std::move(*out)}) : std::move(out);
}

std::optional<Expression> FormulaReader::group(std::string_view close) {
  ++at;
  Result out = sum();
  const Token& end = peek();
  if (!out || !(end.mark(close) || end.command(close))) return std::nullopt;
  ++at;
  return out;
}

// What a command's argument is: a group, a digit, a letter or another command.
std::optional<Expression> FormulaReader::braces_or_one() {
  if (peek().mark("{")) return group("}");
  if (const Token& t = peek(); t.kind == Token::Kind::kNumeral) {
    ++at;
    return Expression::number(t.value, t.decimal);
  }
  if (peek().kind == Token::Kind::kLetter || peek().kind == Token::Kind::kCommand) return base();
  return std::nullopt;
}

std::optional<std::string> FormulaReader::subscript() {
  std::string out;
  const bool braces = peek().mark("{");
  if (braces) ++at;
  for (int count = 0; count < 12; ++count) {
    const Token& t = peek();
    if (t.kind == Token::Kind::kNumeral)
      out += t.value.to_string();
    else if (t.kind == Token::Kind::kLetter || t.kind == Token::Kind::kText)
      out += t.text;
    else if (braces && one_of(t, {"+", "-", ",", "*"}))
      out += t.text;
    else
      break;
    ++at;
    if (!braces) break;
  }
  if (out.empty() || (braces && !peek().mark("}"))) return std::nullopt;
  if (braces) ++at;
  return out;
}

// A letter with its index and primes.
std::optional<Expression> FormulaReader::subscripted(std::string name) {
  if (peek().mark("_")) {
    ++at;
    const auto index = subscript();
    if (!index) return std::nullopt;
    name += "_" + *index;
  }
  while (peek().mark("'")) {
    name += "'";
    ++at;
  }
  return Expression::symbol(std::move(name));
}

std::optional<Expression> FormulaReader::base() {
  const Deeper deeper(depth_);
  if (depth_ > kMaxDepth) return std::nullopt;
  const Token& t = peek();
  switch (t.kind) {
    case Token::Kind::kNumeral:
      ++at;
      if (peek().mark("_")) return std::nullopt;  // in a base: no part of a formula
      return Expression::number(t.value, t.decimal);
    case Token::Kind::kLetter: {
      ++at;
      const bool bare = !one_of(peek(), {"_", "'"});
      if (bare && t.text == "e") return Expression::constant(Op::kE);
      if (bare && t.text == "i") return Expression::constant(Op::kI);
      return subscripted(t.text);
    }
    case Token::Kind::kMark:
      if (t.text == "(" && !bracket(at).comma) return group(")");
      if (t.text == "[" && !bracket(at).comma) return group("]");
      if (t.text == "{") return group("}");
      if (t.text == "|") return absolute();
      return std::nullopt;
    case Token::Kind::kCommand:
      return command();
    default:
      return std::nullopt;
  }
}

std::optional<Expression> FormulaReader::absolute() {
  ++at;
  ++in_bars_;
  Result inner = sum();
  --in_bars_;
  if (!inner || !peek().mark("|")) return std::nullopt;
  ++at;
  return Expression::call("abs", {std::move(*inner)});
}

std::optional<Expression> FormulaReader::fraction(const char* name) {
  const bool binomial = std::string_view(name) == "binom";
  ++at;
  Result parts[2];
  for (Result& part : parts) {
    // \frac12: one digit each. The tokens have "12" as one number.
    const Token& t = peek();
    if (t.kind == Token::Kind::kNumeral && !t.decimal && t.value.is_integer() && &part == &parts[0]) {
      const std::string digits = t.value.to_string();
      if (digits.size() == 2) {
        ++at;
        parts[0] = integer(digits[0] - '0');
        parts[1] = integer(digits[1] - '0');
        break;
      }
      if (digits.size() > 2) return std::nullopt;
    }
    part = braces_or_one();
    if (!part) return std::nullopt;
  }
  if (!binomial && is_zero(*parts[1])) return std::nullopt;
  std::vector<Expression> args;
  for (Result& part : parts) args.push_back(std::move(*part));
  return binomial ? Expression::call("binom", std::move(args)) : Expression::of(Op::kDivide, std::move(args));
}

std::optional<Expression> FormulaReader::root() {
  ++at;
  Result degree = integer(2);
  if (peek().mark("[")) degree = group("]");
  if (!degree) return std::nullopt;
  Result inner = peek().mark("(") ? group(")") : braces_or_one();
  if (!inner) return std::nullopt;
  const auto value = rational_value(*degree);
  const auto whole = value ? value->to_int64() : std::nullopt;
  if (!whole)
    return Expression::of(Op::kPower,
                          {std::move(*inner), Expression::of(Op::kDivide, {integer(1), std::move(*degree)})});
  if (*whole < 1 || *whole > 1000) return std::nullopt;
  return Expression::of(Op::kRoot, {std::move(*inner), integer(*whole)});
}

std::optional<Expression> FormulaReader::command() {
  const std::string name = peek().text;
  if (name == "frac" || name == "binom") return fraction(name.c_str());
  if (name == "sqrt") return root();
  if (name == "pi" || name == "infty") {
    ++at;
    if (name == "infty") return Expression::constant(Op::kInfinity);
    return peek().mark("_") ? subscripted("pi") : Expression::constant(Op::kPi);
  }
  if (name == "lfloor" || name == "lceil") {
    Result inner = group(name == "lfloor" ? "rfloor" : "rceil");
    if (!inner) return std::nullopt;
    return Expression::call(name == "lfloor" ? "floor" : "ceil", {std::move(*inner)});
  }
  if (name == "overline") {
    ++at;
    Result inner = braces_or_one();
    if (!inner) return std::nullopt;
    // Of symbols it is a name: a segment, a conjugate that is not known.
    if (!is_constant(*inner)) return Expression::symbol("bar " + to_string(*inner));
    return Expression::call("conjugate", {std::move(*inner)});
  }
  if (name == "log10" || known_function(name)) return function(name);
  return std::nullopt;
}

// \sin x, \sin^2 x, \sin^{-1} x, \log_2 8, \sin(x).
std::optional<Expression> FormulaReader::function(const std::string& name) {
  ++at;
  Result base, power;
  if (name == "log10") base = integer(10);
  if (name == "log" && peek().mark("_")) {
    ++at;
    base = peek().mark("(") ? group(")") : braces_or_one();
    if (!base) return std::nullopt;
  }
  if (peek().mark("^")) {
    ++at;
    power = exponent();
    if (!power) return std::nullopt;
  }
  Result inner = function_argument();
  if (!inner) return std::nullopt;
  const auto raised = power ? rational_value(*power) : std::nullopt;
  const bool inverse = raised && *raised == Rational::of(-1) && known_function("arc" + name);
  Expression out;
  if (inverse) {
    out = Expression::call("arc" + name, {std::move(*inner)});
    power.reset();
  } else if (base) {
    out = Expression::call("log", {std::move(*inner), std::move(*base)});
  } else if (name == "log") {
    out = Expression::call("log_", {std::move(*inner)});
  } else if (name == "exp") {
    out = Expression::of(Op::kPower, {Expression::constant(Op::kE), std::move(*inner)});
  } else if (*known_function(name) != 1) {
    return std::nullopt;
  } else {
    out = Expression::call(name, {std::move(*inner)});
  }
  return power ? Expression::of(Op::kPower, {std::move(out), std::move(*power)}) : std::move(out);
}

// Parentheses, or factors up to the next operator or function.
std::optional<Expression> FormulaReader::function_argument() {
  const Deeper in(in_function_);
  if (peek().mark("(") && !bracket(at).comma) return group(")");
  const bool negative = peek().mark("-");
  if (negative) ++at;
  std::vector<Expression> factors;
  while (factors.empty() ||
         (starts_factor() && !(peek().kind == Token::Kind::kCommand && known_function(peek().text)) &&
          !peek().mark("("))) {
    auto next = factor();
    if (!next) return std::nullopt;
    factors.push_back(std::move(*next));
  }
  Expression out =
      factors.size() == 1 ? std::move(factors.front()) : Expression::of(Op::kMultiply, std::move(factors));
  return negative ? Expression::of(Op::kNegate, {std::move(out)}) : std::move(out);
}

}  // namespace temper
