// Recursive descent over the tokens, with Jinja's own precedences. Statements are in jinja_parser.cc,
// expressions in jinja_expression_parser.cc.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "jinja/ast.h"
#include "jinja/lexer.h"

namespace temper::jinja {

class Parser {
 public:
  explicit Parser(const std::string& source) : tokens_(tokenize_template(source)) {}
  Template parse();

 private:
  // Nesting of the grammar, bounded so that "((((..." cannot run out of stack.
  struct Deeper {
    explicit Deeper(Parser& parser);
    ~Deeper() { --parser.depth_; }
    Parser& parser;
  };

  const Token& current() const { return tokens_[at_]; }
  const Token& look() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  Token next() { return at_ + 1 < tokens_.size() ? tokens_[at_++] : tokens_[at_]; }
  bool is(TokenKind kind, std::string_view text) const {
    return current().kind == kind && current().text == text;
  }
  bool is_op(std::string_view op) const { return is(TokenKind::kOperator, op); }
  bool is_name(std::string_view name) const { return is(TokenKind::kName, name); }
  bool skip_op(std::string_view op);
  bool skip_name(std::string_view name);
  void expect_op(std::string_view op);
  void expect_name(std::string_view name);
  std::string take_name();
  [[noreturn]] void fail(const std::string& why, int line = 0) const;

  // Statements.
  using Ends = std::vector<std::string_view>;
  Block parse_block(const Ends& ends);            // up to a tag of `ends`, whose name becomes current
  Block parse_body(const Ends& ends);             // the same after the opening tag's %}
  Block parse_closed_body(std::string_view end);  // ... and past the name of the closing tag
  std::unique_ptr<Statement> parse_statement();
  std::unique_ptr<Statement> make(StatementKind kind) const;
  void parse_if(Statement& out);
  void parse_for(Statement& out);
  void parse_set(Statement& out);
  void parse_macro(Statement& out);
  void parse_call_block(Statement& out);
  void parse_with(Statement& out);
  void parse_signature(Macro& macro);
  // Bodies that Jinja turns into functions: no break out of them, and their names are their own.
  void parse_function_body(Macro& macro, std::string_view end);
  ExprPtr parse_target(bool namespaces, std::string_view end_name = {});

  // Expressions.
  ExprPtr make(ExprKind kind, int line) const;
  ExprPtr make(ExprKind kind, ExprPtr a, ExprPtr b = nullptr) const;
  ExprPtr checked(ExprPtr expr) const;  // sets the depth; Error when the tree is too deep
  ExprPtr parse_expression(bool conditional = true);
  ExprPtr parse_tuple(bool conditional = true, bool parenthesized = false, std::string_view end_name = {});
  ExprPtr parse_conditional();
  ExprPtr parse_or();
  ExprPtr parse_and();
  ExprPtr parse_not();
  ExprPtr parse_compare();
  ExprPtr parse_sum();
  ExprPtr parse_concat();
  ExprPtr parse_product();
  ExprPtr parse_power();
  ExprPtr parse_unary(bool with_filter = true);
  ExprPtr parse_primary(bool namespaces = false);
  ExprPtr parse_postfix(ExprPtr expr);
  ExprPtr parse_filter_expression(ExprPtr expr);
  ExprPtr parse_subscript(ExprPtr expr);
  ExprPtr parse_subscript_argument();
  ExprPtr parse_filters(ExprPtr expr, bool first_is_bare);
  ExprPtr parse_test(ExprPtr expr);
  Arguments parse_arguments();
  bool at_tuple_end(std::string_view end_name) const;

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
  int loops_ = 0;        // open loops that a break could leave
  int conditional_ = 0;  // inside an if: unknown filters and tests are errors only when reached
  bool has_generation_ = false;
  std::vector<Macro*> macros_;  // open ones, innermost last
};

}  // namespace temper::jinja
