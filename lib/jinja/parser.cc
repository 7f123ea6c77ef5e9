#include "jinja/parser.h"

#include <algorithm>

#include "base/error.h"

namespace temper::jinja {
namespace {

constexpr int kMaxNesting = 200;

}  // namespace

Template parse_template(const std::string& source) {
  return Parser(source).parse();
}

Parser::Deeper::Deeper(Parser& parser) : parser(parser) {
  if (++parser.depth_ > kMaxNesting) parser.fail(fmt::format("nested deeper than {} levels", kMaxNesting));
}

void Parser::fail(const std::string& why, int line) const {
  throw Error(fmt::format("line {}: {}", line > 0 ? line : current().line, why));
}

bool Parser::skip_op(std::string_view op) {
  if (!is_op(op)) return false;
  next();
  return true;
}

bool Parser::skip_name(std::string_view name) {
  if (!is_name(name)) return false;
  next();
  return true;
}

namespace {

std::string describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::kData:
      return "text";
    case TokenKind::kPrintBegin:
      return "{{";
    case TokenKind::kPrintEnd:
      return "}}";
    case TokenKind::kBlockBegin:
      return "{%";
    case TokenKind::kBlockEnd:
      return "%}";
    case TokenKind::kEnd:
      return "the end of the template";
    default:
      return "'" + token.text + "'";
  }
}

}  // namespace

void Parser::expect_op(std::string_view op) {
  if (!skip_op(op)) fail(fmt::format("expected '{}', found {}", op, describe(current())));
}

void Parser::expect_name(std::string_view name) {
  if (!skip_name(name)) fail(fmt::format("expected '{}', found {}", name, describe(current())));
}

std::string Parser::take_name() {
  if (current().kind != TokenKind::kName) fail(fmt::format("expected a name, found {}", describe(current())));
  return next().text;
}

Template Parser::parse() {
  Template out;
  out.body = parse_block({});
  out.has_generation = has_generation_;
  return out;
}

std::unique_ptr<Statement> Parser::make(StatementKind kind) const {
  auto out = std::make_unique<Statement>();
  out->kind = kind;
  out->line = current().line;
  return out;
}

Block Parser::parse_block(const Ends& ends) {
  const Deeper deeper(*this);
  Block out;
  while (true) {
    switch (current().kind) {
      case TokenKind::kEnd:
        if (!ends.empty()) fail(fmt::format("the template ends where '{}' is due", ends.back()));
        return out;
      case TokenKind::kData:
        out.push_back(make(StatementKind::kText));
        out.back()->text = Text(next().text);
        break;
      case TokenKind::kPrintBegin:
        next();
        out.push_back(make(StatementKind::kPrint));
        out.back()->expr = parse_tuple();
        if (current().kind != TokenKind::kPrintEnd)
          fail(fmt::format("expected }}}}, found {}", describe(current())));
        next();
        break;
      default:  // {%
        next();
        if (current().kind == TokenKind::kName &&
            std::find(ends.begin(), ends.end(), current().text) != ends.end()) {
          return out;
        }
        out.push_back(parse_statement());
        if (current().kind != TokenKind::kBlockEnd)
          fail(fmt::format("expected %}}, found {}", describe(current())));
        next();
    }
  }
}

Block Parser::parse_body(const Ends& ends) {
  skip_op(":");
  if (current().kind != TokenKind::kBlockEnd)
    fail(fmt::format("expected %}}, found {}", describe(current())));
  next();
  return parse_block(ends);
}

Block Parser::parse_closed_body(std::string_view end) {
  Block out = parse_body({end});
  next();
  return out;
}

std::unique_ptr<Statement> Parser::parse_statement() {
  if (current().kind != TokenKind::kName)
    fail(fmt::format("expected a tag name, found {}", describe(current())));
  const std::string tag = current().text;
  auto out = make(StatementKind::kIf);
  next();
  if (tag == "if") {
    parse_if(*out);
  } else if (tag == "for") {
    parse_for(*out);
  } else if (tag == "set") {
    parse_set(*out);
  } else if (tag == "macro") {
    parse_macro(*out);
  } else if (tag == "call") {
    parse_call_block(*out);
  } else if (tag == "with") {
    parse_with(*out);
  } else if (tag == "filter") {
    out->kind = StatementKind::kFilterBlock;
    out->expr = parse_filters(nullptr, true);
    out->body = parse_closed_body("endfilter");
  } else if (tag == "generation") {
    out->kind = StatementKind::kGeneration;
    out->macro = std::make_unique<Macro>();
    has_generation_ = true;
    parse_function_body(*out->macro, "endgeneration");
  } else if (tag == "break" || tag == "continue") {
    if (loops_ == 0) fail(fmt::format("'{}' outside a loop", tag), out->line);
    out->kind = tag == "break" ? StatementKind::kBreak : StatementKind::kContinue;
  } else {
    fail(fmt::format(
             "unknown tag '{}' (known: if, for, set, macro, call, with, filter, generation, break, continue, "
             "raw)",
             tag),
         out->line);
  }
  return out;
}

void Parser::parse_if(Statement& out) {
  out.kind = StatementKind::kIf;
  ++conditional_;
  while (true) {
    ExprPtr test = parse_tuple(/*conditional=*/false);
    Block body = parse_body({"elif", "else", "endif"});
    out.branches.emplace_back(std::move(test), std::move(body));
    const std::string tag = next().text;
    if (tag == "elif") continue;
    if (tag == "else") out.branches.emplace_back(nullptr, parse_closed_body("endif"));
    break;
  }
  --conditional_;
}

void Parser::parse_for(Statement& out) {
  out.kind = StatementKind::kFor;
  out.target = parse_target(false, "in");
  expect_name("in");
  out.expr = parse_tuple(/*conditional=*/false, false, "recursive");
  if (skip_name("if")) out.test = parse_expression();
  out.recursive = skip_name("recursive");
  ++loops_;
  out.body = parse_body({"endfor", "else"});
  --loops_;
  if (next().text == "else") out.other = parse_closed_body("endfor");
}

void Parser::parse_set(Statement& out) {
  out.target = parse_target(true);
  if (skip_op("=")) {
    out.kind = StatementKind::kSet;
    out.expr = parse_tuple();
    return;
  }
  out.kind = StatementKind::kSetBlock;
  if (is_op("|")) out.expr = parse_filters(nullptr, false);
  out.body = parse_closed_body("endset");
}

void Parser::parse_signature(Macro& macro) {
  expect_op("(");
  while (!is_op(")")) {
    if (!macro.parameters.empty()) expect_op(",");
    macro.parameters.push_back(take_name());
    if (skip_op("=")) {
      macro.defaults.push_back(parse_expression());
    } else if (!macro.defaults.empty()) {
      fail("a parameter without a default follows one with a default");
    }
  }
  next();
}

void Parser::parse_function_body(Macro& macro, std::string_view end) {
  const int loops = loops_;
  loops_ = 0;
  macros_.push_back(&macro);
  macro.body = parse_closed_body(end);
  macros_.pop_back();
  loops_ = loops;
}

void Parser::parse_macro(Statement& out) {
  out.kind = StatementKind::kMacro;
  out.macro = std::make_unique<Macro>();
  out.macro->name = take_name();
  parse_signature(*out.macro);
  parse_function_body(*out.macro, "endmacro");
}

void Parser::parse_call_block(Statement& out) {
  out.kind = StatementKind::kCallBlock;
  out.macro = std::make_unique<Macro>();
  out.macro->name = "caller";
  if (is_op("(")) parse_signature(*out.macro);
  out.expr = parse_expression();
  if (out.expr->kind != ExprKind::kCall) fail("expected a call", out.line);
  parse_function_body(*out.macro, "endcall");
}

void Parser::parse_with(Statement& out) {
  out.kind = StatementKind::kWith;
  while (current().kind != TokenKind::kBlockEnd) {
    if (!out.bindings.empty()) expect_op(",");
    ExprPtr target = parse_target(false);
    expect_op("=");
    out.bindings.emplace_back(std::move(target), parse_expression());
  }
  out.body = parse_closed_body("endwith");
}

ExprPtr Parser::parse_target(bool namespaces, std::string_view end_name) {
  auto one = [&] {
    const int line = current().line;
    ExprPtr target = parse_primary(namespaces);
    const bool fits = target->kind == ExprKind::kName || target->kind == ExprKind::kNamespaceRef ||
                      target->kind == ExprKind::kTuple;
    if (!fits) fail("this cannot be assigned to", line);
    return target;
  };
  const int line = current().line;
  ExprPtr first = one();
  if (!is_op(",")) return first;
  ExprPtr out = make(ExprKind::kTuple, line);
  out->items.push_back(std::move(first));
  while (skip_op(",")) {
    if (at_tuple_end(end_name) || is_op("=")) break;
    out->items.push_back(one());
  }
  return out;
}

}  // namespace temper::jinja
