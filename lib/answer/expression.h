// Formulas as trees.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "answer/rational.h"

namespace temper {

enum class Op : uint8_t {
  kRational,  // value
  kSymbol,    // name
  kPi,
  kE,
  kI,
  kInfinity,
  kAdd,       // args: at least two
  kMultiply,  // args: at least two
  kDivide,    // args: two
  kNegate,    // args: one
  kPower,     // args: base, exponent
  kRoot,  // args: radicand, degree (a positive integer); of a negative radicand the real one where there is
          // one
  kCall,  // name: one of known_function()'s; args
};

struct Expression {
  Op op = Op::kRational;
  Rational value;
  std::string name;
  std::vector<Expression> args;
  bool decimal = false;  // kRational: it has a decimal point, so that it may be rounded

  static Expression number(Rational value, bool decimal = false);
  static Expression symbol(std::string name);
  static Expression constant(Op op);
  static Expression of(Op op, std::vector<Expression> args);
  static Expression call(std::string name, std::vector<Expression> args);
};

// Visits every node.
template <class Visit>
void each_node(const Expression& e, const Visit& visit) {
  visit(e);
  for (const Expression& arg : e.args) each_node(arg, visit);
}

bool has_op(const Expression& e, Op op);
inline bool is_constant(const Expression& e) {
  return !has_op(e, Op::kSymbol);
}
bool has_decimal(const Expression& e);
// What one evaluation costs, in units of a sum's microsecond: powers, roots and functions cost more.
int64_t cost_of(const Expression& e);

// Its value where it is made of rationals and their sums, products, quotients and integer powers alone and
// Rational can hold it.
std::optional<Rational> rational_value(const Expression& e);

// With a value in the place of a symbol.
Expression substituted(const Expression& e, const std::string& symbol, const Rational& value);

// "sin", "ln", "abs" ...: nullopt when the name is none, else how many arguments it takes.
std::optional<int> known_function(std::string_view name);

// In plain notation: "2*sqrt(3)", "x^2 - 1".
std::string to_string(const Expression& e);

}  // namespace temper
