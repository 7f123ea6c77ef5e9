#include <algorithm>

#include "base/error.h"
#include "jinja/functions.h"
#include "jinja/parser.h"

namespace temper::jinja {
namespace {

constexpr int kMaxExpressionDepth = 400;

}  // namespace

ExprPtr Parser::make(ExprKind kind, int line) const {
  auto out = std::make_unique<Expr>();
  out->kind = kind;
  out->line = line;
  return out;
}

ExprPtr Parser::make(ExprKind kind, ExprPtr a, ExprPtr b) const {
  ExprPtr out = make(kind, a->line);
  out->items.push_back(std::move(a));
  if (b) out->items.push_back(std::move(b));
  return checked(std::move(out));
}

// Chains such as a + b + c ... nest without the grammar nesting; what walks and frees the tree is recursive.
ExprPtr Parser::checked(ExprPtr expr) const {
  auto see = [&](const ExprPtr& child) {
    if (child) expr->depth = std::max(expr->depth, child->depth + 1);
  };
  for (const ExprPtr& item : expr->items) see(item);
  for (const ExprPtr& item : expr->arguments.positional) see(item);
  for (const auto& [name, item] : expr->arguments.named) see(item);
  see(expr->arguments.star);
  see(expr->arguments.double_star);
  if (expr->depth > kMaxExpressionDepth) {
    fail(fmt::format("an expression nested deeper than {} levels", kMaxExpressionDepth), expr->line);
  }
  return expr;
}

ExprPtr Parser::parse_expression(bool conditional) {
  return conditional ? parse_conditional() : parse_or();
}

bool Parser::at_tuple_end(std::string_view end_name) const {
  return current().kind == TokenKind::kPrintEnd || current().kind == TokenKind::kBlockEnd || is_op(")") ||
         (!end_name.empty() && is_name(end_name));
}

ExprPtr Parser::parse_tuple(bool conditional, bool parenthesized, std::string_view end_name) {
  const Deeper deeper(*this);
  const int line = current().line;
  std::vector<ExprPtr> items;
  bool is_tuple = false;
  while (!at_tuple_end(end_name)) {
    items.push_back(parse_expression(conditional));
    if (!skip_op(",")) break;
    is_tuple = true;
  }
  if (!is_tuple && !items.empty()) return std::move(items[0]);
  if (items.empty() && !parenthesized) fail("expected an expression");
  ExprPtr out = make(ExprKind::kTuple, line);
  out->items = std::move(items);
  return checked(std::move(out));
}

ExprPtr Parser::parse_conditional() {
  const Deeper deeper(*this);
  ExprPtr then = parse_or();
  while (skip_name("if")) {
    ++conditional_;
    ExprPtr test = parse_or();
    ExprPtr other = skip_name("else") ? parse_conditional() : nullptr;
    --conditional_;
    ExprPtr out = make(ExprKind::kConditional, std::move(then), std::move(test));
    out->items.push_back(std::move(other));
    then = checked(std::move(out));
  }
  return then;
}

ExprPtr Parser::parse_or() {
  ExprPtr left = parse_and();
  while (skip_name("or")) left = make(ExprKind::kOr, std::move(left), parse_and());
  return left;
}

ExprPtr Parser::parse_and() {
  ExprPtr left = parse_not();
  while (skip_name("and")) left = make(ExprKind::kAnd, std::move(left), parse_not());
  return left;
}

ExprPtr Parser::parse_not() {
  const Deeper deeper(*this);
  if (skip_name("not")) return make(ExprKind::kNot, parse_not());
  return parse_compare();
}

ExprPtr Parser::parse_compare() {
  static constexpr std::string_view kOps[] = {"==", "!=", "<", "<=", ">", ">="};
  ExprPtr left = parse_sum();
  ExprPtr out;
  while (true) {
    std::string op;
    if (current().kind == TokenKind::kOperator &&
        std::find(kOps, std::end(kOps), current().text) != std::end(kOps)) {
      op = next().text;
    } else if (skip_name("in")) {
      op = "in";
    } else if (is_name("not") && look().kind == TokenKind::kName && look().text == "in") {
      next();
      next();
      op = "not in";
    } else {
      return out ? checked(std::move(out)) : std::move(left);
    }
    if (!out) out = make(ExprKind::kCompare, std::move(left));
    out->ops.push_back(op);
    out->items.push_back(parse_sum());
  }
}

ExprPtr Parser::parse_sum() {
  ExprPtr left = parse_concat();
  while (is_op("+") || is_op("-")) {
    const std::string op = next().text;
    left = make(ExprKind::kBinary, std::move(left), parse_concat());
    left->name = op;
  }
  return left;
}

ExprPtr Parser::parse_concat() {
  ExprPtr left = parse_product();
  if (!is_op("~")) return left;
  ExprPtr out = make(ExprKind::kConcat, std::move(left));
  while (skip_op("~")) out->items.push_back(parse_product());
  return checked(std::move(out));
}

ExprPtr Parser::parse_product() {
  ExprPtr left = parse_power();
  while (is_op("*") || is_op("/") || is_op("//") || is_op("%")) {
    const std::string op = next().text;
    left = make(ExprKind::kBinary, std::move(left), parse_power());
    left->name = op;
  }
  return left;
}

ExprPtr Parser::parse_power() {
  ExprPtr left = parse_unary();
  while (skip_op("**")) {
    left = make(ExprKind::kBinary, std::move(left), parse_unary());
    left->name = "**";
  }
  return left;
}

ExprPtr Parser::parse_unary(bool with_filter) {
  const Deeper deeper(*this);
  ExprPtr out;
  if (skip_op("-")) {
    out = make(ExprKind::kNegative, parse_unary(false));
  } else if (skip_op("+")) {
    out = make(ExprKind::kPositive, parse_unary(false));
  } else {
    out = parse_primary();
  }
  out = parse_postfix(std::move(out));
  return with_filter ? parse_filter_expression(std::move(out)) : std::move(out);
}

ExprPtr Parser::parse_primary(bool namespaces) {
  const Token token = next();
  ExprPtr out = make(ExprKind::kConst, token.line);
  switch (token.kind) {
    case TokenKind::kName:
      if (token.text == "true" || token.text == "True") {
        out->value = Value(true);
      } else if (token.text == "false" || token.text == "False") {
        out->value = Value(false);
      } else if (token.text == "none" || token.text == "None") {
        out->value = Value();
      } else {
        out->kind = ExprKind::kName;
        out->name = token.text;
        if (namespaces && skip_op(".")) {
          out->kind = ExprKind::kNamespaceRef;
          out->attribute = take_name();
        }
        if (!macros_.empty()) {
          macros_.back()->uses_varargs |= token.text == "varargs";
          macros_.back()->uses_kwargs |= token.text == "kwargs";
          macros_.back()->uses_caller |= token.text == "caller";
        }
      }
      return out;
    case TokenKind::kString: {
      std::string text = token.text;
      while (current().kind == TokenKind::kString) text += next().text;
      out->value = Value(Text(text));
      return out;
    }
    case TokenKind::kInteger:
      out->value = Value(token.integer);
      return out;
    case TokenKind::kFloat:
      out->value = Value(token.number);
      return out;
    case TokenKind::kOperator:
      break;
    default:
      fail("expected an expression", token.line);
  }
  if (token.text == "(") {
    out = namespaces ? parse_target(true) : parse_tuple(true, /*parenthesized=*/true);
    expect_op(")");
    return out;
  }
  if (token.text != "[" && token.text != "{") {
    fail(fmt::format("expected an expression, found '{}'", token.text), token.line);
  }
  const Deeper deeper(*this);
  const bool is_dict = token.text == "{";
  const std::string_view close = is_dict ? "}" : "]";
  out->kind = is_dict ? ExprKind::kDict : ExprKind::kList;
  while (!is_op(close)) {
    if (!out->items.empty()) expect_op(",");
    if (is_op(close)) break;
    out->items.push_back(parse_expression());
    if (is_dict) {
      expect_op(":");
      out->items.push_back(parse_expression());
    }
  }
  next();
  return checked(std::move(out));
}

ExprPtr Parser::parse_postfix(ExprPtr expr) {
  while (true) {
    if (is_op(".") || is_op("[")) {
      expr = parse_subscript(std::move(expr));
    } else if (is_op("(")) {
      Arguments arguments = parse_arguments();
      expr = make(ExprKind::kCall, std::move(expr));
      expr->arguments = std::move(arguments);
      expr = checked(std::move(expr));
    } else {
      return expr;
    }
  }
}

ExprPtr Parser::parse_filter_expression(ExprPtr expr) {
  while (true) {
    if (is_op("|")) {
      expr = parse_filters(std::move(expr), false);
    } else if (is_name("is")) {
      expr = parse_test(std::move(expr));
    } else if (is_op("(")) {
      Arguments arguments = parse_arguments();
      expr = make(ExprKind::kCall, std::move(expr));
      expr->arguments = std::move(arguments);
      expr = checked(std::move(expr));
    } else {
      return expr;
    }
  }
}

ExprPtr Parser::parse_subscript(ExprPtr expr) {
  if (skip_op(".")) {
    if (current().kind == TokenKind::kInteger) {
      ExprPtr index = make(ExprKind::kConst, current().line);
      index->value = Value(next().integer);
      return make(ExprKind::kSubscript, std::move(expr), std::move(index));
    }
    ExprPtr out = make(ExprKind::kAttribute, std::move(expr));
    out->name = take_name();
    return out;
  }
  const int line = next().line;  // [
  std::vector<ExprPtr> items;    // none: the empty tuple
  while (!is_op("]")) {
    if (!items.empty()) expect_op(",");
    items.push_back(parse_subscript_argument());
  }
  next();
  ExprPtr index;
  if (items.size() == 1) {
    index = std::move(items[0]);
  } else {
    index = make(ExprKind::kTuple, line);
    index->items = std::move(items);
    index = checked(std::move(index));
  }
  return make(ExprKind::kSubscript, std::move(expr), std::move(index));
}

ExprPtr Parser::parse_subscript_argument() {
  const int line = current().line;
  ExprPtr start = is_op(":") ? nullptr : parse_expression();
  if (!is_op(":")) return start;
  next();
  auto ends = [&] { return is_op(":") || is_op("]") || is_op(","); };
  ExprPtr stop = ends() ? nullptr : parse_expression();
  ExprPtr step;
  if (skip_op(":") && !ends()) step = parse_expression();
  ExprPtr out = make(ExprKind::kSlice, line);
  out->items.push_back(std::move(start));
  out->items.push_back(std::move(stop));
  out->items.push_back(std::move(step));
  return checked(std::move(out));
}

ExprPtr Parser::parse_filters(ExprPtr expr, bool first_is_bare) {
  while (first_is_bare || skip_op("|")) {
    first_is_bare = false;
    const int line = current().line;
    ExprPtr out = make(ExprKind::kFilter, line);
    out->name = take_name();
    out->filter = find_filter(out->name);
    if (out->filter == nullptr && conditional_ == 0)
      fail(fmt::format("no filter named '{}'", out->name), line);
    if (is_op("(")) out->arguments = parse_arguments();
    out->items.push_back(std::move(expr));
    expr = checked(std::move(out));
  }
  return expr;
}

ExprPtr Parser::parse_test(ExprPtr expr) {
  const int line = next().line;  // is
  const bool negated = skip_name("not");
  ExprPtr out = make(ExprKind::kTest, line);
  out->name = take_name();
  out->test = find_test(out->name);
  if (out->test == nullptr && conditional_ == 0) fail(fmt::format("no test named '{}'", out->name), line);
  out->items.push_back(std::move(expr));
  const bool keyword = is_name("else") || is_name("or") || is_name("and") || is_name("if");
  if (is_op("(")) {
    out->arguments = parse_arguments();
  } else if (current().kind == TokenKind::kString || current().kind == TokenKind::kInteger ||
             current().kind == TokenKind::kFloat || is_op("[") || is_op("{") ||
             (current().kind == TokenKind::kName && !keyword)) {
    if (is_name("is")) fail("tests cannot be chained with is");
    out->arguments.positional.push_back(parse_postfix(parse_primary()));
  }
  out = checked(std::move(out));
  return negated ? make(ExprKind::kNot, std::move(out)) : std::move(out);
}

Arguments Parser::parse_arguments() {
  const Deeper deeper(*this);
  Arguments out;
  expect_op("(");
  bool first = true;
  while (!is_op(")")) {
    if (!first) expect_op(",");
    first = false;
    if (is_op(")")) break;
    auto ensure = [&](bool fits) {
      if (!fits) fail("arguments in an order that a call does not allow");
    };
    if (skip_op("*")) {
      ensure(!out.star && !out.double_star);
      out.star = parse_expression();
    } else if (skip_op("**")) {
      ensure(!out.double_star);
      out.double_star = parse_expression();
    } else if (current().kind == TokenKind::kName && look().kind == TokenKind::kOperator &&
               look().text == "=") {
      ensure(!out.double_star);
      std::string name = take_name();
      next();
      out.named.emplace_back(std::move(name), parse_expression());
    } else {
      ensure(!out.star && !out.double_star && out.named.empty());
      out.positional.push_back(parse_expression());
    }
  }
  next();
  return out;
}

}  // namespace temper::jinja
