// Statements: what a template prints and binds.
#include <algorithm>

#include "base/error.h"
#include "jinja/evaluator.h"
#include "jinja/functions.h"

namespace temper::jinja {
namespace {

constexpr int kMaxEvaluation = 800;  // of evaluation: nested statements, expressions and macro calls together
constexpr size_t kScopeBytes = 96;

}  // namespace

Evaluator::Deeper::Deeper(Evaluator& evaluator) : evaluator(evaluator) {
  if (evaluator.depth_ >= kMaxEvaluation) throw Error("the template calls itself too deeply");
  ++evaluator.depth_;
}

const Value* Scope::find_here(const std::string& name) const {
  for (const auto& [key, value] : variables) {
    if (key == name) return &value;
  }
  return nullptr;
}

void Scope::set(const std::string& name, Value value) {
  for (auto& [key, old] : variables) {
    if (key == name) {
      old = std::move(value);
      return;
    }
  }
  variables.emplace_back(name, std::move(value));
}

Text Evaluator::render(const Template& source, std::vector<std::pair<std::string, Value>> variables) {
  Text out;
  out_ = &out;
  Scope* given = new_scope(nullptr);
  given->variables = std::move(variables);
  run(source.body, *new_scope(given));
  return out;
}

Scope* Evaluator::new_scope(Scope* parent) {
  budget_.alloc(kScopeBytes);
  return &scopes_.emplace_back(Scope{parent, {}});
}

Namespace* Evaluator::new_namespace() {
  budget_.alloc(kScopeBytes);
  return &namespaces_.emplace_back();
}

Evaluator::Flow Evaluator::run(const Block& block, Scope& scope) {
  for (const auto& statement : block) {
    const Flow flow = run(*statement, scope);
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

void Evaluator::print(const Value& value) {
  const Text text = to_text(value, budget_);
  budget_.alloc(text.size() + sizeof(Text::Run));
  out_->append(text);
}

Text Evaluator::capture(const Block& block, Scope& scope) {
  return capture([&] { run(block, scope); });
}

Text Evaluator::capture(const std::function<void()>& work) {
  Text text;
  Text* outer = std::exchange(out_, &text);
  try {
    work();
  } catch (...) {
    out_ = outer;
    throw;
  }
  out_ = outer;
  return text;
}

Evaluator::Flow Evaluator::run(const Statement& s, Scope& scope) {
  const Deeper deeper(*this);
  budget_.step();
  line_ = s.line;
  switch (s.kind) {
    case StatementKind::kText:
      budget_.alloc(s.text.size());
      out_->append(s.text);
      break;
    case StatementKind::kPrint:
      print(eval(*s.expr, scope));
      break;
    case StatementKind::kIf:
      for (const auto& [test, body] : s.branches) {
        if (test == nullptr || eval(*test, scope).truthy()) return run(body, scope);
      }
      break;
    case StatementKind::kFor:
      return run_for(s, scope, eval(*s.expr, scope), 0);
    case StatementKind::kSet:
      assign(*s.target, eval(*s.expr, scope), scope);
      break;
    case StatementKind::kSetBlock: {
      Value value(capture(s.body, *new_scope(&scope)));
      if (s.expr) value = run_filters(*s.expr, value, scope);
      assign(*s.target, value, scope);
      break;
    }
    case StatementKind::kMacro:
      scope.set(s.macro->name, make_macro(*s.macro, scope));
      break;
    case StatementKind::kCallBlock: {
      const Value callee = eval(*s.expr->items[0], scope);
      CallArgs args = eval_arguments(s.expr->arguments, scope);
      args.named.emplace_back("caller", make_macro(*s.macro, scope));
      print(call(callee, args));
      break;
    }
    case StatementKind::kFilterBlock:
      print(run_filters(*s.expr, Value(capture(s.body, *new_scope(&scope))), scope));
      break;
    case StatementKind::kWith: {
      Scope* inner = new_scope(&scope);
      std::vector<Value> values;
      for (const auto& [target, expr] : s.bindings) values.push_back(eval(*expr, scope));
      for (size_t i = 0; i < values.size(); ++i) assign(*s.bindings[i].first, values[i], *inner);
      return run(s.body, *inner);
    }
    case StatementKind::kGeneration: {
      Text text = capture(s.macro->body, *new_scope(&scope));
      text.add_flag(kGeneration);
      print(Value(std::move(text)));
      break;
    }
    case StatementKind::kBreak:
      return Flow::kBreak;
    case StatementKind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNext;
}

Evaluator::Flow Evaluator::run_for(const Statement& s, Scope& scope, const Value& over, int64_t depth0) {
  std::vector<Value> items = iterate(over, budget_);
  if (s.test) {
    std::vector<Value> kept;
    for (Value& item : items) {
      Scope* inner = new_scope(&scope);
      assign(*s.target, item, *inner);
      if (eval(*s.test, *inner).truthy()) kept.push_back(std::move(item));
    }
    items = std::move(kept);
  }
  if (items.empty()) return run(s.other, *new_scope(&scope));

  auto loop = std::make_shared<Loop>();
  for (const Value& item : items) loop->depth = std::max(loop->depth, item.depth() + 1);
  loop->items = std::move(items);
  loop->depth0 = depth0;
  if (s.recursive) {
    loop->recurse = [&s, &scope, depth0](Evaluator& e, const Value& inner) {
      const Deeper deeper(e);
      return Value(e.capture([&] { e.run_for(s, scope, inner, depth0 + 1); }));
    };
  }
  for (; loop->index < loop->items.size(); ++loop->index) {
    Scope* inner = new_scope(&scope);
    inner->set("loop", Value(Value::Variant(loop)));
    assign(*s.target, loop->items[loop->index], *inner);
    if (run(s.body, *inner) == Flow::kBreak) break;
  }
  return Flow::kNext;
}

void Evaluator::assign(const Expr& target, const Value& value, Scope& scope) {
  switch (target.kind) {
    case ExprKind::kName:
      scope.set(target.name, value);
      return;
    case ExprKind::kNamespaceRef: {
      Namespace* space = eval_name(target.name, scope).name_space();
      if (space == nullptr)
        throw Error(fmt::format("'{}' is no namespace, its attributes cannot be set", target.name));
      if (target.attribute.starts_with('_'))
        throw Error("names in a namespace cannot start with an underscore");
      for (auto& [name, old] : space->items) {
        if (name == target.attribute) {
          old = value;
          return;
        }
      }
      space->items.emplace_back(target.attribute, value);
      return;
    }
    default: {  // a tuple
      const std::vector<Value> values = iterate(value, budget_);
      if (values.size() != target.items.size()) {
        throw Error(
            fmt::format("{} values cannot be spread over {} names", values.size(), target.items.size()));
      }
      for (size_t i = 0; i < values.size(); ++i) assign(*target.items[i], values[i], scope);
    }
  }
}

Value Evaluator::make_macro(const Macro& macro, Scope& scope) {
  return Value::callable(macro.name, [&macro, &scope](Evaluator& evaluator, CallArgs& args) {
    return Value(evaluator.call_macro(macro, scope, args));
  });
}

Text Evaluator::call_macro(const Macro& macro, Scope& outer, CallArgs& args) {
  Scope& scope = *new_scope(&outer);
  const size_t given = std::min(args.positional.size(), macro.parameters.size());
  for (size_t i = 0; i < given; ++i) scope.set(macro.parameters[i], args.positional[i]);

  std::vector<Value> rest(args.positional.begin() + static_cast<std::ptrdiff_t>(given),
                          args.positional.end());
  if (!rest.empty() && !macro.uses_varargs) {
    throw Error(
        fmt::format("macro '{}' takes not more than {} arguments", macro.name, macro.parameters.size()));
  }
  if (macro.uses_varargs) scope.set("varargs", Value::sequence(std::move(rest), Sequence::Kind::kTuple));

  Dict extra;
  Value caller = Value::undefined("No caller defined");
  for (auto& [name, value] : args.named) {
    const bool known =
        std::find(macro.parameters.begin(), macro.parameters.end(), name) != macro.parameters.end();
    if (known) {
      if (scope.find_here(name) != nullptr) {
        throw Error(fmt::format("macro '{}' got two values for '{}'", macro.name, name));
      }
      scope.set(name, value);
    } else if (name == "caller" && macro.uses_caller) {
      caller = value;
    } else if (macro.uses_kwargs) {
      extra.set(Value(Text(name)), value, budget_);
    } else {
      throw Error(fmt::format("macro '{}' takes no keyword argument '{}'", macro.name, name));
    }
  }
  if (macro.uses_caller && scope.find_here("caller") == nullptr) scope.set("caller", caller);
  if (macro.uses_kwargs) scope.set("kwargs", Value::dict(std::move(extra)));

  const size_t first_default = macro.parameters.size() - macro.defaults.size();
  for (size_t i = 0; i < macro.parameters.size(); ++i) {
    const std::string& name = macro.parameters[i];
    if (scope.find_here(name) != nullptr) continue;
    scope.set(name, i >= first_default
                        ? eval(*macro.defaults[i - first_default], scope)
                        : Value::undefined(fmt::format("parameter '{}' was not provided", name)));
  }
  return capture(macro.body, scope);
}

Value Evaluator::run_filters(const Expr& filters, const Value& input, Scope& scope) {
  // The innermost filter of the chain has no input of its own.
  const Value before = filters.items[0] ? run_filters(*filters.items[0], input, scope) : input;
  if (filters.filter == nullptr) throw Error(fmt::format("no filter named '{}'", filters.name));
  CallArgs args = eval_arguments(filters.arguments, scope);
  return filters.filter(*this, before, args);
}

}  // namespace temper::jinja
