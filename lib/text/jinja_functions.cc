#include "text/jinja_functions.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <map>

#include "base/error.h"
#include "text/jinja_evaluator.h"

namespace temper::jinja {

const Value* ArgReader::optional(std::string_view name) {
  if (next_ < args_.positional.size()) return &args_.positional[next_++];
  ++next_;
  for (const auto& [key, value] : args_.named) {
    if (key == name) {
      ++named_taken_;
      return &value;
    }
  }
  return nullptr;
}

const Value& ArgReader::required(std::string_view name) {
  const Value* value = optional(name);
  if (value == nullptr) throw Error(fmt::format("{}() needs '{}'", function_, name));
  return *value;
}

bool ArgReader::flag(std::string_view name, bool otherwise) {
  const Value* value = optional(name);
  return value == nullptr ? otherwise : value->truthy();
}

int64_t ArgReader::integer(std::string_view name, int64_t otherwise) {
  const Value* value = optional(name);
  int64_t out = otherwise;
  if (value != nullptr && !value->is_none() && !as_int(*value, out)) {
    throw Error(fmt::format("{}() needs an integer as '{}', not '{}'", function_, name, value->type_name()));
  }
  return out;
}

void ArgReader::done() const {
  if (args_.positional.size() > next_) throw Error(fmt::format("{}() got too many arguments", function_));
  if (named_taken_ < args_.named.size()) {
    throw Error(fmt::format("{}() got arguments it does not know, or twice", function_));
  }
}

const Text& need_text(const Value& value, std::string_view what) {
  if (value.text()) return *value.text();
  if (value.is_undefined()) throw Error(*value.get<Undefined>()->why);
  throw Error(fmt::format("{} must be text, not '{}'", what, value.type_name()));
}

std::vector<Value> to_values(std::vector<Text> parts) {
  std::vector<Value> out;
  for (Text& part : parts) out.emplace_back(std::move(part));
  return out;
}

// The filter starts words after white space and -({[<, the method after anything that is no letter.
Text title_case(const Text& text, bool words_start_after_any_non_letter) {
  bool start = true;
  return map_code_points(text, [&](char32_t c, bool after_cased) {
    if (words_start_after_any_non_letter) start = !after_cased;
    std::string out = !start ? to_lower(c) : words_start_after_any_non_letter ? to_title(c) : to_upper(c);
    start = is_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
    return out;
  });
}

Text capitalized(const Text& text) {
  bool first = true;
  return map_code_points(
      text, [&](char32_t c, bool) { return std::exchange(first, false) ? to_title(c) : to_lower(c); });
}

namespace {

Value range(Evaluator& e, CallArgs& args) {
  if (!args.named.empty() || args.positional.empty() || args.positional.size() > 3) {
    throw Error("range() takes one to three integers");
  }
  int64_t at[3] = {0, 0, 1};
  const size_t n = args.positional.size();
  for (size_t i = 0; i < n; ++i) {
    if (!as_int(args.positional[i], at[n == 1 ? 1 : i])) {
      throw Error(fmt::format("range() needs integers, not '{}'", args.positional[i].type_name()));
    }
  }
  const auto [start, stop, step] = at;
  if (step == 0) throw Error("range()'s step is zero");
  constexpr int64_t kMaxRange = 100000;  // Jinja's own limit
  std::vector<Value> items;
  for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
    if (static_cast<int64_t>(items.size()) == kMaxRange) throw Error("range() of more than 100000 numbers");
    items.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  e.budget().alloc(items.size() * sizeof(Value));
  const std::string label = step == 1 ? fmt::format("range({}, {})", start, stop)
                                      : fmt::format("range({}, {}, {})", start, stop, step);
  return Value::sequence(std::move(items), Sequence::Kind::kRange, label);
}

// dict(a=1), dict(mapping), dict(pairs): what dict and namespace start from.
Dict make_dict(Evaluator& e, CallArgs& args) {
  Dict out;
  if (args.positional.size() > 1) throw Error("dict() takes at most one value by position");
  if (!args.positional.empty()) {
    const Value& from = args.positional[0];
    if (from.is_undefined()) throw Error(*from.get<Undefined>()->why);
    if (from.dict()) {
      for (const auto& [key, value] : from.dict()->items) out.set(key, value, e.budget());
    } else {
      for (const Value& pair : iterate(from, e.budget())) {
        const auto two = iterate(pair, e.budget());
        if (two.size() != 2) throw Error("dict() needs pairs");
        out.set(two[0], two[1], e.budget());
      }
    }
  }
  for (const auto& [name, value] : args.named) out.set(Value(Text(name)), value, e.budget());
  return out;
}

Value dict(Evaluator& e, CallArgs& args) {
  return Value::dict(make_dict(e, args));
}

Value name_space(Evaluator& e, CallArgs& args) {
  Namespace* out = e.new_namespace();
  for (auto& [key, value] : make_dict(e, args).items) {
    const std::string& name = need_text(key, "a name in a namespace").str();
    if (name.starts_with('_')) throw Error("names in a namespace cannot start with an underscore");
    out->items.emplace_back(name, value);
  }
  return Value(Value::Variant(out));
}

Value raise_exception(Evaluator& e, CallArgs& args) {
  ArgReader reader("raise_exception", args);
  const Value& message = reader.required("message");
  reader.done();
  throw Error("the template refuses: " + to_text(message, e.budget()).str());
}

Value strftime_now(Evaluator&, CallArgs& args) {
  ArgReader reader("strftime_now", args);
  const std::string format = need_text(reader.required("format"), "strftime_now's format").str();
  reader.done();
  if (format.size() > 256) throw Error("strftime_now's format is longer than 256 bytes");
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts{};
  localtime_r(&now, &parts);
  char buffer[4096];
  const size_t size = std::strftime(buffer, sizeof buffer, format.c_str(), &parts);
  const std::string_view out(buffer, size);
  if (!valid_utf8(out)) throw Error("strftime_now gives text that is not UTF-8");
  return Value(Text(out));
}

bool is_integer(const Value& v) {
  return v.get<int64_t>() != nullptr;
}

bool test_none(Evaluator&, const Value& v, CallArgs&) {
  return v.is_none();
}
bool test_defined(Evaluator&, const Value& v, CallArgs&) {
  return !v.is_undefined();
}
bool test_undefined(Evaluator&, const Value& v, CallArgs&) {
  return v.is_undefined();
}
bool test_string(Evaluator&, const Value& v, CallArgs&) {
  return v.text() != nullptr;
}
bool test_mapping(Evaluator&, const Value& v, CallArgs&) {
  return v.dict() != nullptr;
}
bool test_boolean(Evaluator&, const Value& v, CallArgs&) {
  return v.get<bool>() != nullptr;
}
bool test_integer(Evaluator&, const Value& v, CallArgs&) {
  return is_integer(v);
}
bool test_float(Evaluator&, const Value& v, CallArgs&) {
  return v.get<double>() != nullptr;
}
bool test_true(Evaluator&, const Value& v, CallArgs&) {
  return v.get<bool>() != nullptr && *v.get<bool>();
}
bool test_false(Evaluator&, const Value& v, CallArgs&) {
  return v.get<bool>() != nullptr && !*v.get<bool>();
}
bool test_callable(Evaluator&, const Value& v, CallArgs&) {
  return v.callable() != nullptr;
}
bool test_escaped(Evaluator&, const Value&, CallArgs&) {
  return false;
}
bool test_number(Evaluator&, const Value& v, CallArgs&) {
  double d;
  return as_number(v, d);
}
bool test_sequence(Evaluator&, const Value& v, CallArgs&) {  // has a length and can be indexed
  const bool view = v.sequence() && v.sequence()->kind == Sequence::Kind::kView;
  return v.text() || v.dict() || (v.sequence() && !view) || v.is_undefined();
}
bool test_iterable(Evaluator&, const Value& v, CallArgs&) {
  return v.text() || v.dict() || v.sequence() || v.iterator() || v.is_undefined();
}

int64_t need_int(const Value& value) {
  int64_t out;
  if (value.is_undefined()) throw Error(*value.get<Undefined>()->why);
  if (!as_int(value, out)) throw Error(fmt::format("an integer is needed, not '{}'", value.type_name()));
  return out;
}
bool test_odd(Evaluator&, const Value& v, CallArgs&) {
  return need_int(v) % 2 != 0;
}
bool test_even(Evaluator&, const Value& v, CallArgs&) {
  return need_int(v) % 2 == 0;
}
bool test_divisibleby(Evaluator&, const Value& v, CallArgs& args) {
  const int64_t by = need_int(ArgReader("divisibleby", args).required("num"));
  if (by == 0) throw Error("division by zero");
  return by == -1 || need_int(v) % by == 0;
}

bool cased(Evaluator& e, const Value& v, bool upper) {
  bool some = false;
  const Text text = to_text(v, e.budget());
  for (size_t at = 0; at < text.size();) {
    const char32_t c = decode_at(text.str(), at);
    if (upper ? is_lower(c) : is_upper(c)) return false;
    some |= upper ? is_upper(c) : is_lower(c);
  }
  return some;
}
bool test_upper(Evaluator& e, const Value& v, CallArgs&) {
  return cased(e, v, true);
}
bool test_lower(Evaluator& e, const Value& v, CallArgs&) {
  return cased(e, v, false);
}

const Value& other(CallArgs& args) {
  return ArgReader("a comparison", args).required("other");
}
bool test_eq(Evaluator& e, const Value& v, CallArgs& args) {
  return equals(v, other(args), e.budget());
}
bool test_ne(Evaluator& e, const Value& v, CallArgs& args) {
  return !equals(v, other(args), e.budget());
}
bool test_lt(Evaluator& e, const Value& v, CallArgs& args) {
  return compare(v, other(args), e.budget()) < 0;
}
bool test_le(Evaluator& e, const Value& v, CallArgs& args) {
  return compare(v, other(args), e.budget()) <= 0;
}
bool test_gt(Evaluator& e, const Value& v, CallArgs& args) {
  return compare(v, other(args), e.budget()) > 0;
}
bool test_ge(Evaluator& e, const Value& v, CallArgs& args) {
  return compare(v, other(args), e.budget()) >= 0;
}
bool test_in(Evaluator& e, const Value& v, CallArgs& args) {
  return contains(other(args), v, e.budget());
}
bool test_sameas(Evaluator& e, const Value& v, CallArgs& args) {
  const Value& with = other(args);
  return v.variant().index() == with.variant().index() && equals(v, with, e.budget());
}
bool test_filter(Evaluator&, const Value& v, CallArgs&) {
  return v.text() && find_filter(v.text()->str()) != nullptr;
}
bool test_test(Evaluator&, const Value& v, CallArgs&) {
  return v.text() && find_test(v.text()->str()) != nullptr;
}

}  // namespace

TestFunction find_test(std::string_view name) {
  static const std::map<std::string_view, TestFunction> kTests = {
      {"odd", test_odd},
      {"even", test_even},
      {"divisibleby", test_divisibleby},
      {"defined", test_defined},
      {"undefined", test_undefined},
      {"none", test_none},
      {"boolean", test_boolean},
      {"false", test_false},
      {"true", test_true},
      {"integer", test_integer},
      {"float", test_float},
      {"lower", test_lower},
      {"upper", test_upper},
      {"string", test_string},
      {"mapping", test_mapping},
      {"number", test_number},
      {"sequence", test_sequence},
      {"iterable", test_iterable},
      {"callable", test_callable},
      {"sameas", test_sameas},
      {"escaped", test_escaped},
      {"in", test_in},
      {"eq", test_eq},
      {"equalto", test_eq},
      {"==", test_eq},
      {"ne", test_ne},
      {"!=", test_ne},
      {"gt", test_gt},
      {"greaterthan", test_gt},
      {">", test_gt},
      {"ge", test_ge},
      {">=", test_ge},
      {"lt", test_lt},
      {"lessthan", test_lt},
      {"<", test_lt},
      {"le", test_le},
      {"<=", test_le},
      {"filter", test_filter},
      {"test", test_test},
  };
  const auto at = kTests.find(name);
  return at == kTests.end() ? nullptr : at->second;
}

bool find_global(const std::string& name, Value& out) {
  static const std::map<std::string, Value (*)(Evaluator&, CallArgs&)> kGlobals = {
      {"range", range},
      {"dict", dict},
      {"namespace", name_space},
      {"raise_exception", raise_exception},
      {"strftime_now", strftime_now},
  };
  const auto at = kGlobals.find(name);
  if (at == kGlobals.end()) return false;
  out = Value::callable(name, at->second);
  return true;
}

}  // namespace temper::jinja
