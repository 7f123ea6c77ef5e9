// Filters of text and numbers, with Jinja's names and meanings.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include "base/error.h"
#include "jinja/evaluator.h"
#include "jinja/functions.h"

namespace temper::jinja {
namespace {

Value mapped_text(Evaluator& e, const Value& input, CallArgs& args, const char* name,
                  Text (*change)(const Text&)) {
  ArgReader(name, args).done();
  const Text text = soft_text(input, e.budget());
  e.budget().alloc(2 * text.size());
  return Value(change(text).set_markup(text.is_markup()));
}

Value upper(Evaluator& e, const Value& input, CallArgs& args) {
  return mapped_text(e, input, args, "upper", [](const Text& t) {
    return map_code_points(t, [](char32_t c, bool) { return to_upper(c); });
  });
}

Value lower(Evaluator& e, const Value& input, CallArgs& args) {
  return mapped_text(e, input, args, "lower", [](const Text& t) {
    return map_code_points(t, [](char32_t c, bool) { return to_lower(c); });
  });
}

Value capitalize(Evaluator& e, const Value& input, CallArgs& args) {
  return mapped_text(e, input, args, "capitalize", capitalized);
}

Value title(Evaluator& e, const Value& input, CallArgs& args) {
  ArgReader("title", args).done();
  return Value(title_case(to_text(input, e.budget()), false));
}

Value escape(Evaluator& e, const Value& input, CallArgs& args) {
  ArgReader("escape", args).done();
  const Text text = soft_text(input, e.budget());
  e.budget().alloc(2 * text.size());
  return Value(escaped(text));
}

Value force_escape(Evaluator& e, const Value& input, CallArgs& args) {
  return escape(e, Value(to_text(input, e.budget())), args);
}

Value as_string(Evaluator& e, const Value& input, CallArgs& args) {
  return mapped_text(e, input, args, "string", [](const Text& t) { return t; });
}

Value trim(Evaluator& e, const Value& input, CallArgs& args) {
  ArgReader reader("trim", args);
  const Value* chars = reader.optional("chars");
  reader.done();
  const bool given = chars != nullptr && !chars->is_none();
  const Text text = soft_text(input, e.budget());
  e.budget().alloc(text.size());
  return Value(strip(text, given ? &need_text(*chars, "trim's chars").str() : nullptr, true, true)
                   .set_markup(text.is_markup()));
}

Value default_value(Evaluator&, const Value& input, CallArgs& args) {
  ArgReader reader("default", args);
  const Value* other = reader.optional("default_value");
  const bool falsy_too = reader.flag("boolean", false);
  reader.done();
  if (!input.is_undefined() && !(falsy_too && !input.truthy())) return input;
  return other != nullptr ? *other : Value(Text());
}

Value replace_filter(Evaluator& e, const Value& input, CallArgs& args) {
  ArgReader reader("replace", args);
  const Text old_part = to_text(reader.required("old"), e.budget());
  const Text new_part = to_text(reader.required("new"), e.budget());
  const int64_t count = reader.integer("count", -1);
  reader.done();
  return Value(replace(to_text(input, e.budget()), old_part.str(), new_part, count, e.budget()));
}

Value indent(Evaluator& e, const Value& input, CallArgs& args) {
  ArgReader reader("indent", args);
  const Value* width = reader.optional("width");
  const bool first_too = reader.flag("first", false), blank_too = reader.flag("blank", false);
  reader.done();
  int64_t spaces = 4;
  if (width != nullptr && width->text() == nullptr && !as_int(*width, spaces))
    throw Error("indent's width is no number");
  const Text pad = width != nullptr && width->text() ? *width->text() : repeat(Text(" "), spaces, e.budget());
  Text text = need_text(input, "what indent gets");
  text.append("\n");
  Text out;
  out.set_markup(text.is_markup());
  const auto lines = split_lines(text, false, e.budget());
  for (size_t i = 0; i < lines.size(); ++i) {
    e.budget().alloc(pad.size() + lines[i].size() + sizeof(Text::Run));
    if (i > 0) out.append("\n");
    if (i > 0 ? blank_too || !lines[i].empty() : first_too) out.append(pad);
    out.append(lines[i]);
  }
  return Value(std::move(out));
}

Value tojson(Evaluator& e, const Value& input, CallArgs& args) {
  ArgReader reader("tojson", args);
  JsonStyle style;
  style.ascii = reader.flag("ensure_ascii", false);
  if (const Value* width = reader.optional("indent"); width != nullptr && !width->is_none()) {
    int64_t spaces = 0;
    style.pretty = true;
    style.item_separator = Text(",");
    if (width->text()) {
      style.indent = *width->text();
    } else if (as_int(*width, spaces)) {
      style.indent = repeat(Text(" "), spaces, e.budget());
    } else {
      throw Error("tojson's indent is no number");
    }
  }
  if (const Value* both = reader.optional("separators"); both != nullptr && !both->is_none()) {
    const auto parts = iterate(*both, e.budget());
    if (parts.size() != 2) throw Error("tojson's separators are two texts");
    style.item_separator = need_text(parts[0], "a separator");
    style.key_separator = need_text(parts[1], "a separator");
  }
  style.sort_keys = reader.flag("sort_keys", false);
  reader.done();
  return Value(to_json(input, style, e.budget()));
}

Value absolute(Evaluator&, const Value& input, CallArgs& args) {
  ArgReader("abs", args).done();
  int64_t i;
  double d;
  if (as_int(input, i) && i != INT64_MIN) return Value(i < 0 ? -i : i);
  if (as_number(input, d)) return Value(std::fabs(d));
  throw Error(fmt::format("bad operand type for abs(): '{}'", input.type_name()));
}

// The characters of a number without the white space around it, its plus sign and the underscores between its
// digits; "" where those stand elsewhere.
std::string number_text(const Text& text) {
  std::string s = strip(text, nullptr, true, true).str();
  auto digit = [&](size_t i) { return i < s.size() && std::isalnum(static_cast<unsigned char>(s[i])) != 0; };
  for (size_t i = 0; i < s.size(); ++i) {
    if (s[i] == '_' && (i == 0 || !digit(i - 1) || !digit(i + 1))) return "";
  }
  std::erase(s, '_');
  const bool plus = s.starts_with('+');
  if (plus) s.erase(0, 1);
  return s.starts_with('+') || s.starts_with("-+") || (plus && s.starts_with('-')) ? "" : s;
}

// int("..", base) and float("..") of Python; false when the text is no number.
bool parse_integer(const Text& text, int base, int64_t& out) {
  std::string s = number_text(text);
  const bool minus = s.starts_with('-');
  if (minus) s.erase(0, 1);
  if (s.size() > 2 && s[0] == '0') {  // 0x, 0o and 0b, which base 0 goes by
    const char kind = static_cast<char>(s[1] | 0x20);
    const int named = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 0;
    if (named != 0 && (base == named || base == 0)) {
      base = named;
      s.erase(0, 2);
    }
  }
  if (base == 0) base = 10;
  if (s.starts_with('-')) return false;
  if (minus) s.insert(0, "-");
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), out, base);
  if (error == std::errc::result_out_of_range && end == s.data() + s.size())
    throw Error(fmt::format("the integer {} does not fit 64 bits", s.substr(0, 60)));
  return error == std::errc() && end == s.data() + s.size();
}

bool parse_float(const Text& text, double& out) {
  const std::string s = number_text(text);
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), out);
  return error == std::errc() && end == s.data() + s.size();
}

Value int_filter(Evaluator&, const Value& input, CallArgs& args) {
  ArgReader reader("int", args);
  const Value* otherwise = reader.optional("default");
  const int64_t base = reader.integer("base", 10);
  reader.done();
  if ((base < 2 && base != 0) || base > 36) throw Error("int's base is 0, or between 2 and 36");
  if (input.is_undefined()) throw Error(*input.get<Undefined>()->why);
  int64_t i;
  double d;
  if (as_int(input, i)) return Value(i);
  if (input.text() && parse_integer(*input.text(), static_cast<int>(base), i)) return Value(i);
  const bool number = as_number(input, d) || (input.text() && parse_float(*input.text(), d));
  if (number && std::fabs(d) < 9.2e18) return Value(static_cast<int64_t>(d));
  return otherwise != nullptr ? *otherwise : Value(int64_t{0});
}

Value float_filter(Evaluator&, const Value& input, CallArgs& args) {
  ArgReader reader("float", args);
  const Value* otherwise = reader.optional("default");
  reader.done();
  if (input.is_undefined()) throw Error(*input.get<Undefined>()->why);
  double d;
  if (as_number(input, d) || (input.text() && parse_float(*input.text(), d))) return Value(d);
  return otherwise != nullptr ? *otherwise : Value(0.0);
}

Value round_filter(Evaluator&, const Value& input, CallArgs& args) {
  ArgReader reader("round", args);
  const int64_t precision = reader.integer("precision", 0);
  const Value* method = reader.optional("method");
  reader.done();
  const std::string how = method != nullptr ? need_text(*method, "round's method").str() : "common";
  if (how != "common" && how != "ceil" && how != "floor")
    throw Error("round's method is common, ceil or floor");
  int64_t i;
  double d;
  if (!as_number(input, d)) throw Error(fmt::format("round needs a number, not '{}'", input.type_name()));
  if (std::abs(precision) > 300) throw Error("round's precision is between -300 and 300");
  const double scale = std::pow(10.0, static_cast<double>(precision));
  if (how == "ceil") return Value(std::ceil(d * scale) / scale);
  if (how == "floor") return Value(std::floor(d * scale) / scale);
  if (as_int(input, i) && precision >= 0) return Value(i);
  if (precision < 0) {
    const double rounded = std::nearbyint(d * scale) / scale;
    return as_int(input, i) ? Value(static_cast<int64_t>(rounded)) : Value(rounded);
  }
  // Correctly rounded in decimal, half to even, as Python does it.
  return Value(std::strtod(fmt::format("{:.{}f}", d, precision).c_str(), nullptr));
}

Value attr(Evaluator& e, const Value& input, CallArgs& args) {
  ArgReader reader("attr", args);
  const std::string name = need_text(reader.required("name"), "an attribute's name").str();
  reader.done();
  if (input.is_undefined()) throw Error(*input.get<Undefined>()->why);
  Value out;
  if (find_attribute(e, input, name, out)) return out;
  return Value::undefined(fmt::format("'{} object' has no attribute '{}'", input.type_name(), name));
}

Value format(Evaluator& e, const Value& input, CallArgs& args) {
  if (!args.named.empty() && !args.positional.empty())
    throw Error("format takes its values by position or by name, not both");
  Value values = Value::sequence(args.positional, Sequence::Kind::kTuple);
  if (!args.named.empty()) {
    Dict named;
    for (const auto& [name, value] : args.named) named.set(Value(Text(name)), value, e.budget());
    values = Value::dict(std::move(named));
  }
  return Value(format_percent(soft_text(input, e.budget()), values, e.budget()));
}

Value safe(Evaluator& e, const Value& input, CallArgs& args) {
  ArgReader("safe", args).done();
  return Value(soft_text(input, e.budget()).set_markup());
}

}  // namespace

FilterFunction find_filter(std::string_view name) {
  static const std::map<std::string_view, FilterFunction> kFilters = {
      {"abs", absolute},
      {"attr", attr},
      {"capitalize", capitalize},
      {"d", default_value},
      {"default", default_value},
      {"e", escape},
      {"escape", escape},
      {"float", float_filter},
      {"forceescape", force_escape},
      {"format", format},
      {"indent", indent},
      {"int", int_filter},
      {"lower", lower},
      {"replace", replace_filter},
      {"round", round_filter},
      {"safe", safe},
      {"string", as_string},
      {"title", title},
      {"tojson", tojson},
      {"trim", trim},
      {"upper", upper},
  };
  const auto at = kFilters.find(name);
  if (at != kFilters.end()) return at->second;
  const FilterFunction layout = find_layout_filter(name);
  return layout != nullptr ? layout : find_sequence_filter(name);
}

}  // namespace temper::jinja
