// Runs a parsed template.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "jinja/ast.h"
#include "jinja/value.h"

namespace temper::jinja {

struct Scope {
  Scope* parent = nullptr;
  std::vector<std::pair<std::string, Value>> variables;
  const Value* find_here(const std::string& name) const;
  void set(const std::string& name, Value value);
};

class Evaluator {
 public:
  Evaluator() = default;
  Evaluator(const Evaluator&) = delete;
  Evaluator& operator=(const Evaluator&) = delete;

  // The rendered text. Throws Error; line() then says where.
  Text render(const Template& source, std::vector<std::pair<std::string, Value>> variables);
  int line() const { return line_; }
  Budget& budget() { return budget_; }

  // For the functions of jinja_functions.h.
  Value attribute(const Value& object, const std::string& name);  // object.name
  Value subscript(const Value& object, const Value& key);         // object[key]
  Value call(const Value& callee, CallArgs& args);
  Value add(const Value& a, const Value& b) { return eval_binary("+", a, b); }
  Namespace* new_namespace();

 private:
  enum class Flow { kNext, kBreak, kContinue };
  struct Deeper {
    explicit Deeper(Evaluator& evaluator);
    ~Deeper() { --evaluator.depth_; }
    Evaluator& evaluator;
  };

  Scope* new_scope(Scope* parent);
  Flow run(const Block& block, Scope& scope);
  Flow run(const Statement& statement, Scope& scope);
  Flow run_for(const Statement& statement, Scope& scope, const Value& over, int64_t depth0);
  Text capture(const Block& block, Scope& scope);  // what the block prints
  Text capture(const std::function<void()>& work);
  void assign(const Expr& target, const Value& value, Scope& scope);
  Value make_macro(const Macro& macro, Scope& scope);
  Text call_macro(const Macro& macro, Scope& scope, CallArgs& args);
  Value run_filters(const Expr& filters, const Value& input, Scope& scope);
  void print(const Value& value);

  Value eval(const Expr& expr, Scope& scope);
  Value eval_name(const std::string& name, Scope& scope);
  Value eval_binary(const std::string& op, const Value& a, const Value& b);
  bool eval_comparison(const std::string& op, const Value& a, const Value& b);
  Value eval_slice(const Value& object, const Expr& slice, Scope& scope);
  CallArgs eval_arguments(const Arguments& arguments, Scope& scope);

  Budget budget_;
  int line_ = 0, depth_ = 0;
  Text* out_ = nullptr;
  // Scopes and namespaces may point at each other in circles, so the rendering owns them all.
  std::deque<Scope> scopes_;
  std::deque<Namespace> namespaces_;
};

}  // namespace temper::jinja
