// The tests of the template language: x is name(arguments).
#include <cmath>
#include <map>

#include "base/error.h"
#include "jinja/evaluator.h"
#include "jinja/functions.h"

namespace temper::jinja {
namespace {

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
  return v.callable() != nullptr || v.loop() != nullptr || v.is_undefined();
}
bool test_escaped(Evaluator&, const Value& v, CallArgs&) {
  return v.text() != nullptr && v.text()->is_markup();
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
  return v.text() || v.dict() || v.sequence() || v.iterator() || v.loop() || v.is_undefined();
}

// What is left of `value` divided by `by`, in the sign of the value.
double remainder(const Value& value, double by) {
  double number = 0;
  if (value.is_undefined()) throw Error(*value.get<Undefined>()->why);
  if (!as_number(value, number)) throw Error(fmt::format("a number is needed, not '{}'", value.type_name()));
  int64_t whole = 0;
  if (as_int(value, whole) && by == 2) return static_cast<double>(whole % 2);
  return std::fmod(number, by);
}
bool test_odd(Evaluator&, const Value& v, CallArgs&) {
  return std::fabs(remainder(v, 2)) == 1;
}
bool test_even(Evaluator&, const Value& v, CallArgs&) {
  return remainder(v, 2) == 0;
}
bool test_divisibleby(Evaluator&, const Value& v, CallArgs& args) {
  const Value& by = ArgReader("divisibleby", args).required("num");
  int64_t i = 0, j = 0;
  double d = 0;
  if (!as_number(by, d)) throw Error(fmt::format("a number is needed, not '{}'", by.type_name()));
  if (d == 0) throw Error("division by zero");
  if (as_int(v, i) && as_int(by, j)) return j == -1 || i % j == 0;
  return remainder(v, d) == 0;
}

bool test_upper(Evaluator& e, const Value& v, CallArgs&) {
  return all_cased(to_text(v, e.budget()), true);
}
bool test_lower(Evaluator& e, const Value& v, CallArgs&) {
  return all_cased(to_text(v, e.budget()), false);
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
bool test_sameas(Evaluator&, const Value& v, CallArgs& args) {
  return identical(v, other(args));
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

}  // namespace temper::jinja
