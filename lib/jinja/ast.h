// The parsed template.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "jinja/value.h"

namespace temper::jinja {

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;
using FilterFunction = Value (*)(Evaluator&, const Value& input, CallArgs& args);
using TestFunction = bool (*)(Evaluator&, const Value& input, CallArgs& args);

struct Arguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr star, double_star;  // *args, **kwargs
};

enum class ExprKind {
  kConst,         // value
  kName,          // name
  kNamespaceRef,  // name.attribute, as the target of a set
  kList,          // items
  kTuple,
  kDict,  // items: key, value, key, value ...
  kNot,   // items[0]
  kNegative,
  kPositive,
  kBinary,  // op, items[0..1]
  kAnd,
  kOr,
  kCompare,      // items[0] ops[0] items[1] ops[1] items[2] ...
  kConcat,       // items joined by ~
  kConditional,  // items: then, test, else (null: undefined)
  kAttribute,    // items[0].name
  kSubscript,    // items[0][items[1]]
  kSlice,        // only inside a subscript; items: start, stop, step, each may be null
  kCall,         // items[0](arguments)
  kFilter,       // items[0]|name(arguments); items[0] null: the text of a filter block
  kTest,         // items[0] is name(arguments)
};

struct Expr {
  ExprKind kind;
  int line;
  int depth = 1;     // of the tree below
  std::string name;  // name, attribute, filter, test; binary operator
  std::string attribute;
  Value value;
  std::vector<ExprPtr> items;
  std::vector<std::string> ops;
  Arguments arguments;
  FilterFunction filter = nullptr;  // null: unknown, an error when it is reached
  TestFunction test = nullptr;
};

struct Statement;
using Block = std::vector<std::unique_ptr<Statement>>;

enum class StatementKind {
  kText,         // text
  kPrint,        // expr
  kIf,           // branches
  kFor,          // target in expr if test: body else other
  kSet,          // target = expr
  kSetBlock,     // target, filter (may be null), body
  kMacro,        // macro
  kCallBlock,    // expr is the call, macro the body
  kFilterBlock,  // expr is the filter chain, body
  kWith,         // targets, values, body
  kGeneration,   // body
  kBreak,
  kContinue,
};

struct Macro {
  std::string name;
  std::vector<std::string> parameters;
  std::vector<ExprPtr> defaults;  // of the last parameters
  Block body;
  bool uses_varargs = false, uses_kwargs = false, uses_caller = false;
};

struct Statement {
  StatementKind kind;
  int line;
  Text text;
  ExprPtr expr, test, target;
  std::vector<std::pair<ExprPtr, Block>> branches;    // if, elif ...; a null test is else
  std::vector<std::pair<ExprPtr, ExprPtr>> bindings;  // with
  Block body, other;
  std::unique_ptr<Macro> macro;
  bool recursive = false;  // for: loop(items) runs it again
};

struct Template {
  Block body;
  bool has_generation = false;
};

// Throws Error; the message starts with "line N: ".
Template parse_template(const std::string& source);

}  // namespace temper::jinja
