#include "answer/expression.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace temper {
namespace {

struct Function {
  std::string_view name;
  int args;
};
constexpr Function kFunctions[] = {
    {"sin", 1},    {"cos", 1},    {"tan", 1},    {"cot", 1},       {"sec", 1},      {"csc", 1},
    {"arcsin", 1}, {"arccos", 1}, {"arctan", 1}, {"arccot", 1},    {"sinh", 1},     {"cosh", 1},
    {"tanh", 1},   {"ln", 1},     {"log", 2},    {"exp", 1},       {"abs", 1},      {"floor", 1},
    {"ceil", 1},   {"log_", 1},   {"binom", 2},  {"factorial", 1}, {"conjugate", 1}};

// How tightly an operation binds, for parentheses.
int tightness(const Expression& e) {
  switch (e.op) {
    case Op::kAdd:
      return 1;
    case Op::kNegate:
      return 2;
    case Op::kMultiply:
    case Op::kDivide:
      return 3;
    case Op::kPower:
      return 4;
    case Op::kRational:
      return e.value.is_negative() ? 2 : e.value.is_integer() ? 5 : 3;
    default:
      return 5;
  }
}

std::string within(const Expression& e, int tight) {
  return tightness(e) < tight ? "(" + to_string(e) + ")" : to_string(e);
}

std::string joined_terms(const std::vector<Expression>& args, const char* between, int tight) {
  std::string out;
  for (const Expression& arg : args) out += (out.empty() ? "" : between) + within(arg, tight);
  return out;
}

}  // namespace

Expression Expression::number(Rational value, bool decimal) {
  Expression e;
  e.value = std::move(value);
  e.decimal = decimal;
  return e;
}
Expression Expression::symbol(std::string name) {
  Expression e;
  e.op = Op::kSymbol;
  e.name = std::move(name);
  return e;
}
Expression Expression::constant(Op op) {
  Expression e;
  e.op = op;
  return e;
}
Expression Expression::of(Op op, std::vector<Expression> args) {
  Expression e;
  e.op = op;
  e.args = std::move(args);
  return e;
}
Expression Expression::call(std::string name, std::vector<Expression> args) {
  Expression e = of(Op::kCall, std::move(args));
  e.name = std::move(name);
  return e;
}

bool has_op(const Expression& e, Op op) {
  return e.op == op ||
         std::any_of(e.args.begin(), e.args.end(), [&](const Expression& arg) { return has_op(arg, op); });
}

bool has_decimal(const Expression& e) {
  return e.decimal || std::any_of(e.args.begin(), e.args.end(), has_decimal);
}

int64_t cost_of(const Expression& e) {
  int64_t cost = 0;
  each_node(e, [&](const Expression& node) {
    cost += node.op == Op::kCall ? 25 : node.op == Op::kPower || node.op == Op::kRoot ? 5 : 1;
  });
  return cost;
}

std::optional<Rational> rational_value(const Expression& e) {
  if (e.op == Op::kRational) return e.value;
  std::vector<Rational> args;
  for (const Expression& arg : e.args) {
    auto value = rational_value(arg);
    if (!value) return std::nullopt;
    args.push_back(std::move(*value));
  }
  switch (e.op) {
    case Op::kAdd:
    case Op::kMultiply: {
      std::optional<Rational> out = args.front();
      for (size_t i = 1; i < args.size() && out; ++i)
        out = e.op == Op::kAdd ? out->plus(args[i]) : out->times(args[i]);
      return out;
    }
    case Op::kDivide:
      return args[0].over(args[1]);
    case Op::kNegate:
      return args[0].negated();
    case Op::kPower: {
      const auto exponent = args[1].to_int64();
      return exponent ? args[0].to_power(*exponent) : std::nullopt;
    }
    default:
      return std::nullopt;
  }
}

Expression substituted(const Expression& e, const std::string& symbol, const Rational& value) {
  if (e.op == Op::kSymbol && e.name == symbol) return Expression::number(value);
  Expression out = e;
  for (Expression& arg : out.args) arg = substituted(arg, symbol, value);
  return out;
}

std::optional<int> known_function(std::string_view name) {
  for (const Function& function : kFunctions)
    if (function.name == name) return function.args;
  return std::nullopt;
}

std::string to_string(const Expression& e) {
  switch (e.op) {
    case Op::kRational:
      return e.value.to_string();
    case Op::kSymbol:
      return e.name;
    case Op::kPi:
      return "pi";
    case Op::kE:
      return "e";
    case Op::kI:
      return "i";
    case Op::kInfinity:
      return "oo";
    case Op::kAdd: {
      std::string out = to_string(e.args.front());
      for (size_t i = 1; i < e.args.size(); ++i) {
        const Expression& arg = e.args[i];
        out += arg.op == Op::kNegate ? " - " + within(arg.args[0], 2) : " + " + to_string(arg);
      }
      return out;
    }
    case Op::kMultiply:
      return joined_terms(e.args, "*", 3);
    case Op::kDivide:
      return within(e.args[0], 3) + "/" + within(e.args[1], 4);
    case Op::kNegate:
      return "-" + within(e.args[0], 3);
    case Op::kPower:
      return within(e.args[0], 5) + "^" + within(e.args[1], 5);
    case Op::kRoot: {
      const bool square = e.args[1].op == Op::kRational && e.args[1].value == Rational::of(2);
      return square ? "sqrt(" + to_string(e.args[0]) + ")"
                    : "root(" + to_string(e.args[0]) + ", " + to_string(e.args[1]) + ")";
    }
    case Op::kCall:
      return (e.name == "log_" ? "log" : e.name) + "(" + joined_terms(e.args, ", ", 0) + ")";
  }
  return {};
}

}  // namespace temper
