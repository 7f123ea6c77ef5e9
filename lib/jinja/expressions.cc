// Expressions, with Python's arithmetic, slices and truth.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "jinja/evaluator.h"
#include "jinja/functions.h"

namespace temper::jinja {
namespace {

// How error messages call an object.
std::string described(const Value& value) {
  return value.is_none() ? "None" : "'" + value.type_name() + " object'";
}

void need_defined(const Value& value) {
  if (value.is_undefined()) throw Error(*value.get<Undefined>()->why);
}

int64_t floor_divide(int64_t a, int64_t b) {
  const int64_t q = a / b;
  return q - ((a % b != 0) && ((a < 0) != (b < 0)));
}

Value integer_arithmetic(char op, int64_t a, int64_t b) {
  int64_t out = 0;
  bool overflow = false;
  switch (op) {
    case '+':
      overflow = __builtin_add_overflow(a, b, &out);
      break;
    case '-':
      overflow = __builtin_sub_overflow(a, b, &out);
      break;
    case '*':
      overflow = __builtin_mul_overflow(a, b, &out);
      break;
    case 'p':  // a ** b, b >= 0
      out = 1;
      for (int64_t base = a; b > 0 && !overflow; b >>= 1) {
        if ((b & 1) != 0) overflow = __builtin_mul_overflow(out, base, &out);
        if (b > 1 && !overflow) overflow = __builtin_mul_overflow(base, base, &base);
      }
      break;
    default:  // '/' rounds down, '%' takes the sign of b
      if (b == 0) throw Error("division by zero");
      if (a == INT64_MIN && b == -1) overflow = op == '/';
      if (!overflow && b != -1) out = op == '/' ? floor_divide(a, b) : a - b * floor_divide(a, b);
      if (!overflow && b == -1) out = op == '/' ? -a : 0;
  }
  if (overflow) throw Error("an integer does not fit 64 bits");
  return Value(out);
}

Value float_arithmetic(const std::string& op, double a, double b) {
  if (op == "+") return Value(a + b);
  if (op == "-") return Value(a - b);
  if (op == "*") return Value(a * b);
  if (op == "**") {
    if (a < 0 && b != std::floor(b)) throw Error("a negative number to a fractional power");
    if (a == 0 && b < 0) throw Error("zero to a negative power");
    return Value(std::pow(a, b));
  }
  if (b == 0) throw Error("division by zero");
  if (op == "/") return Value(a / b);
  double rest = std::fmod(a, b);
  if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
  return Value(op == "%" ? rest : std::round((a - rest) / b));
}

Value joined(const Sequence& a, const Sequence& b, Budget& budget) {
  budget.alloc((a.items.size() + b.items.size()) * sizeof(Value));
  std::vector<Value> items = a.items;
  items.insert(items.end(), b.items.begin(), b.items.end());
  return Value::sequence(std::move(items),
                         a.kind == Sequence::Kind::kList ? Sequence::Kind::kList : Sequence::Kind::kTuple);
}

Value repeated(const Value& value, int64_t times, Budget& budget) {
  if (const Text* text = value.text())
    return Value(repeat(*text, times, budget).set_markup(text->is_markup()));
  std::vector<Value> items;
  for (int64_t i = 0; i < times && !value.sequence()->items.empty(); ++i) {
    budget.alloc(value.sequence()->items.size() * sizeof(Value));
    items.insert(items.end(), value.sequence()->items.begin(), value.sequence()->items.end());
  }
  return Value::sequence(std::move(items), value.is_tuple() ? Sequence::Kind::kTuple : Sequence::Kind::kList);
}

bool repeatable(const Value& value) {
  return value.text() || value.is_list() || value.is_tuple();
}

}  // namespace

Value Evaluator::eval_name(const std::string& name, Scope& scope) {
  for (const Scope* at = &scope; at != nullptr; at = at->parent) {
    if (const Value* value = at->find_here(name)) return *value;
  }
  Value global;
  return find_global(name, global) ? global : Value::undefined("'" + name + "' is undefined");
}

Value Evaluator::eval(const Expr& e, Scope& scope) {
  const Deeper deeper(*this);
  budget_.step();
  line_ = e.line;
  switch (e.kind) {
    case ExprKind::kConst:
      return e.value;
    case ExprKind::kName:
      return eval_name(e.name, scope);
    case ExprKind::kList:
    case ExprKind::kTuple: {
      budget_.alloc(sizeof(Sequence) + e.items.size() * sizeof(Value));
      std::vector<Value> items;
      for (const ExprPtr& item : e.items) items.push_back(eval(*item, scope));
      return Value::sequence(std::move(items),
                             e.kind == ExprKind::kList ? Sequence::Kind::kList : Sequence::Kind::kTuple);
    }
    case ExprKind::kDict: {
      budget_.alloc(sizeof(Dict));
      Dict dict;
      for (size_t i = 0; i < e.items.size(); i += 2) {
        const Value key = eval(*e.items[i], scope);
        dict.set(key, eval(*e.items[i + 1], scope), budget_);
      }
      return Value::dict(std::move(dict));
    }
    case ExprKind::kNot:
      return Value(!eval(*e.items[0], scope).truthy());
    case ExprKind::kNegative:
    case ExprKind::kPositive: {
      const Value value = eval(*e.items[0], scope);
      need_defined(value);
      const bool minus = e.kind == ExprKind::kNegative;
      int64_t i;
      double d;
      if (as_int(value, i)) return minus ? integer_arithmetic('-', 0, i) : Value(i);
      if (as_number(value, d)) return Value(minus ? -d : d);
      throw Error(fmt::format("bad operand type for unary {}: '{}'", minus ? '-' : '+', value.type_name()));
    }
    case ExprKind::kBinary: {
      const Value a = eval(*e.items[0], scope);
      return eval_binary(e.name, a, eval(*e.items[1], scope));
    }
    case ExprKind::kAnd:
    case ExprKind::kOr: {
      Value left = eval(*e.items[0], scope);
      return left.truthy() == (e.kind == ExprKind::kOr) ? left : eval(*e.items[1], scope);
    }
    case ExprKind::kCompare: {
      Value left = eval(*e.items[0], scope);
      for (size_t i = 0; i < e.ops.size(); ++i) {
        Value right = eval(*e.items[i + 1], scope);
        if (!eval_comparison(e.ops[i], left, right)) return Value(false);
        left = std::move(right);
      }
      return Value(true);
    }
    case ExprKind::kConcat: {
      Text out;
      for (const ExprPtr& item : e.items) {
        const Text text = to_text(eval(*item, scope), budget_);
        budget_.alloc(text.size() + sizeof(Text));
        out.append(text);
      }
      return Value(std::move(out));
    }
    case ExprKind::kConditional:
      if (eval(*e.items[1], scope).truthy()) return eval(*e.items[0], scope);
      if (e.items[2]) return eval(*e.items[2], scope);
      return Value::undefined("the inline if-expression was false and has no else");
    case ExprKind::kAttribute: {
      const Value object = eval(*e.items[0], scope);
      line_ = e.line;
      return attribute(object, e.name);
    }
    case ExprKind::kSubscript: {
      const Value object = eval(*e.items[0], scope);
      if (e.items[1]->kind == ExprKind::kSlice) return eval_slice(object, *e.items[1], scope);
      const Value key = eval(*e.items[1], scope);
      line_ = e.line;
      return subscript(object, key);
    }
    case ExprKind::kCall: {
      const Value callee = eval(*e.items[0], scope);
      CallArgs args = eval_arguments(e.arguments, scope);
      line_ = e.line;
      return call(callee, args);
    }
    case ExprKind::kFilter: {
      const Value input = eval(*e.items[0], scope);
      CallArgs args = eval_arguments(e.arguments, scope);
      line_ = e.line;
      if (e.filter == nullptr) throw Error(fmt::format("no filter named '{}'", e.name));
      return e.filter(*this, input, args);
    }
    case ExprKind::kTest: {
      const Value input = eval(*e.items[0], scope);
      CallArgs args = eval_arguments(e.arguments, scope);
      line_ = e.line;
      if (e.test == nullptr) throw Error(fmt::format("no test named '{}'", e.name));
      return Value(e.test(*this, input, args));
    }
    case ExprKind::kNamespaceRef:
    case ExprKind::kSlice:
      break;
  }
  throw Error("a slice stands where none can");
}

CallArgs Evaluator::eval_arguments(const Arguments& arguments, Scope& scope) {
  CallArgs out;
  for (const ExprPtr& item : arguments.positional) out.positional.push_back(eval(*item, scope));
  for (const auto& [name, item] : arguments.named) out.named.emplace_back(name, eval(*item, scope));
  if (arguments.star) {
    for (Value& item : iterate(eval(*arguments.star, scope), budget_))
      out.positional.push_back(std::move(item));
  }
  if (arguments.double_star) {
    const Value more = eval(*arguments.double_star, scope);
    if (more.dict() == nullptr) throw Error("what follows ** is no dict");
    for (const auto& [key, value] : more.dict()->items) {
      out.named.emplace_back(need_text(key, "a keyword").str(), value);
    }
  }
  return out;
}

Value Evaluator::call(const Value& callee, CallArgs& args) {
  need_defined(callee);
  const Callable* function = callee.callable();
  if (const Loop* loop = callee.loop()) {
    if (!loop->recurse) throw Error("a loop that is not marked 'recursive' cannot be called");
    ArgReader reader("loop", args);
    const Value items = reader.required("iterable");
    reader.done();
    return loop->recurse(*this, items);
  }
  if (function == nullptr) throw Error(fmt::format("'{}' object is not callable", callee.type_name()));
  const Value keep = callee;
  return function->call(*this, args);
}

Value Evaluator::attribute(const Value& object, const std::string& name) {
  need_defined(object);
  Value out;
  if (find_attribute(*this, object, name, out)) return out;
  if (const Dict* dict = object.dict()) {
    if (const Value* value = dict->find(Value(Text(name)), budget_)) return *value;
  }
  return Value::undefined(fmt::format("{} has no attribute '{}'", described(object), name));
}

Value Evaluator::subscript(const Value& object, const Value& key) {
  need_defined(object);
  if (const Dict* dict = object.dict(); dict != nullptr && hashable(key)) {
    if (const Value* value = dict->find(key, budget_)) return *value;
  }
  int64_t index;
  if (as_int(key, index)) {
    if (const Text* text = object.text()) {
      budget_.work(text->size());
      const auto starts = code_point_starts(text->str());
      const auto length = static_cast<int64_t>(starts.size()) - 1;
      if (index < 0) index += length;
      if (index >= 0 && index < length) {
        const auto i = static_cast<size_t>(index);
        return Value(text->slice(starts[i], starts[i + 1]).set_markup(text->is_markup()));
      }
    } else if (const Sequence* s = object.sequence(); s != nullptr && s->kind != Sequence::Kind::kView) {
      const auto length = static_cast<int64_t>(s->items.size());
      if (index < 0) index += length;
      if (index >= 0 && index < length) return s->items[static_cast<size_t>(index)];
    }
  }
  if (const Text* name = key.text()) {
    Value out;
    if (find_attribute(*this, object, name->str(), out)) return out;
    return Value::undefined(fmt::format("{} has no attribute {}", described(object), repr(name->str())));
  }
  return Value::undefined(fmt::format("{} has no element {}", described(object), repr(key, budget_).str()));
}

Value Evaluator::eval_slice(const Value& object, const Expr& slice, Scope& scope) {
  need_defined(object);
  const Text* text = object.text();
  const Sequence* s = object.sequence();
  if (text == nullptr && (s == nullptr || s->kind == Sequence::Kind::kView)) {
    throw Error(fmt::format("'{}' object cannot be sliced", object.type_name()));
  }
  bool given[3] = {};
  int64_t at[3] = {0, 0, 1};
  for (size_t i = 0; i < 3; ++i) {
    if (!slice.items[i]) continue;
    const Value value = eval(*slice.items[i], scope);
    if (value.is_none()) continue;
    given[i] = true;
    if (!as_int(value, at[i]))
      throw Error(fmt::format("slice positions are integers, not '{}'", value.type_name()));
  }
  const int64_t step = at[2];
  if (step == 0) throw Error("slice step cannot be zero");
  std::vector<size_t> starts;
  if (text != nullptr) starts = code_point_starts(text->str());
  budget_.work(text != nullptr ? text->size() : s->items.size());
  const auto length = static_cast<int64_t>(text != nullptr ? starts.size() - 1 : s->items.size());

  // Python's slice.indices.
  const int64_t low = step < 0 ? -1 : 0, high = step < 0 ? length - 1 : length;
  auto bound = [&](int64_t i) { return std::clamp(i < 0 ? i + length : i, low, high); };
  const int64_t start = given[0] ? bound(at[0]) : step < 0 ? high : low;
  const int64_t stop = given[1] ? bound(at[1]) : step < 0 ? low : high;

  Text picked;
  std::vector<Value> items;
  if (text != nullptr && step == 1) {
    if (start < stop)
      picked = text->slice(starts[static_cast<size_t>(start)], starts[static_cast<size_t>(stop)]);
  } else {
    for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
      const auto k = static_cast<size_t>(i);
      if (text != nullptr) {
        picked.append(*text, starts[k], starts[k + 1]);
      } else {
        items.push_back(s->items[k]);
      }
      if (__builtin_add_overflow(i, step, &i)) break;
    }
  }
  if (text != nullptr) {
    budget_.alloc(picked.size() + sizeof(Text));
    return Value(std::move(picked.set_markup(text->is_markup())));
  }
  budget_.alloc(items.size() * sizeof(Value));
  return Value::sequence(std::move(items),
                         object.is_tuple() ? Sequence::Kind::kTuple : Sequence::Kind::kList);
}

bool Evaluator::eval_comparison(const std::string& op, const Value& a, const Value& b) {
  if (op == "==") return equals(a, b, budget_);
  if (op == "!=") return !equals(a, b, budget_);
  if (op == "in") return contains(b, a, budget_);
  if (op == "not in") return !contains(b, a, budget_);
  const int order = compare(a, b, budget_);
  if (op == "<") return order < 0;
  if (op == "<=") return order <= 0;
  return op == ">" ? order > 0 : order >= 0;
}

Value Evaluator::eval_binary(const std::string& op, const Value& a, const Value& b) {
  if (op == "%" && a.text()) return Value(format_percent(*a.text(), b, budget_));
  need_defined(a);
  need_defined(b);
  int64_t i, j;
  double x, y;
  if (as_int(a, i) && as_int(b, j) && op != "/" && !(op == "**" && j < 0)) {
    return integer_arithmetic(op == "**" ? 'p' : op[0], i, j);
  }
  if (as_number(a, x) && as_number(b, y)) return float_arithmetic(op, x, y);
  if (op == "+") {
    if (a.text() && b.text()) {
      const bool markup = a.text()->is_markup() || b.text()->is_markup();
      budget_.alloc((markup ? 6 : 1) * (a.text()->size() + b.text()->size()) + sizeof(Text));
      Text out = markup ? escaped(*a.text()) : *a.text();
      out.append(markup ? escaped(*b.text()) : *b.text());
      return Value(std::move(out));
    }
    if ((a.is_list() && b.is_list()) || (a.is_tuple() && b.is_tuple())) {
      return joined(*a.sequence(), *b.sequence(), budget_);
    }
  }
  if (op == "*") {
    if (repeatable(a) && as_int(b, j)) return repeated(a, j, budget_);
    if (repeatable(b) && as_int(a, i)) return repeated(b, i, budget_);
  }
  throw Error(
      fmt::format("unsupported operand types for {}: '{}' and '{}'", op, a.type_name(), b.type_name()));
}

}  // namespace temper::jinja
