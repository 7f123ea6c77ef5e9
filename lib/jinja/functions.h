// The filters, tests, methods and global functions that templates may call.
#pragma once

#include <string>
#include <string_view>

#include "jinja/ast.h"
#include "jinja/value.h"

namespace temper::jinja {

// Null when there is none of that name.
FilterFunction find_filter(std::string_view name);
FilterFunction find_sequence_filter(std::string_view name);  // the ones of lists and mappings
FilterFunction find_layout_filter(std::string_view name);    // the ones that lay out text and numbers
TestFunction find_test(std::string_view name);

// obj.name as Python sees it: methods and the attributes of namespaces and loops; nothing else. False when
// there is none. Methods that would change a list or dict give an undefined value, as Jinja's immutable
// sandbox does.
bool find_attribute(Evaluator& evaluator, const Value& object, const std::string& name, Value& out);

// range, dict, joiner, cycler, namespace, raise_exception, strftime_now; false when there is none of that
// name.
bool find_global(const std::string& name, Value& out);

using Method = Value (*)(Evaluator&, const Value& self, CallArgs& args);
Method find_text_method(const std::string& name);  // null when str has none of that name

// Takes arguments by position or name; done() complains about what was not taken.
class ArgReader {
 public:
  ArgReader(std::string function, CallArgs& args) : function_(std::move(function)), args_(args) {}
  const Value* optional(std::string_view name);  // null when not given
  const Value& required(std::string_view name);
  bool flag(std::string_view name, bool otherwise);
  int64_t integer(std::string_view name, int64_t otherwise);
  void done() const;  // Error when arguments are left over

 private:
  std::string function_;
  CallArgs& args_;
  size_t next_ = 0, named_taken_ = 0;
};

// What both filters and methods need.
const Text& need_text(const Value& value, std::string_view what);
Text title_case(const Text& text, bool words_start_after_any_non_letter);
Text capitalized(const Text& text);
bool all_cased(const Text& text, bool upper);  // str.isupper() or str.islower()
std::vector<Value> to_values(std::vector<Text> parts);

// "..." % value and "...".format(...).
Text format_percent(const Text& format, const Value& value, Budget& budget);
Text format_braces(Evaluator& evaluator, const Text& format, const CallArgs& args);
// A number or text in the mini-language of format(): [[fill]align][sign][0][width][,][.precision][type].
Text format_value(const Value& value, const std::string& spec, Budget& budget);

}  // namespace temper::jinja
