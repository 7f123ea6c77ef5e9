// Filters that lay out text and numbers: cut, centred, counted, quoted.
#include <map>

#include "base/error.h"
#include "jinja/evaluator.h"
#include "jinja/functions.h"

namespace temper::jinja {
namespace {

// At the last space before `length` characters, `end` included; texts a few characters longer stay whole.
Value truncate(Evaluator& e, const Value& input, CallArgs& args) {
  ArgReader reader("truncate", args);
  const int64_t length = reader.integer("length", 255);
  const bool kill_words = reader.flag("killwords", false);
  const Value* given_end = reader.optional("end");
  const int64_t leeway = reader.integer("leeway", 5);
  reader.done();
  if (input.is_undefined()) return input;
  const Text& text = need_text(input, "what truncate gets");
  const Text end = given_end != nullptr ? need_text(*given_end, "truncate's end") : Text("...");
  const auto end_length = static_cast<int64_t>(count_code_points(end.str()));
  if (length < end_length) throw Error(fmt::format("truncate needs a length of {} at least", end_length));
  if (leeway < 0) throw Error("truncate's leeway is negative");
  e.budget().work(text.size());
  const auto starts = code_point_starts(text.str());
  if (static_cast<int64_t>(starts.size()) - 1 <= length ||
      static_cast<int64_t>(starts.size()) - 1 - length <= leeway)
    return input;
  Text cut = text.slice(0, starts[static_cast<size_t>(length - end_length)]);
  if (!kill_words) {
    if (const size_t space = cut.str().rfind(' '); space != std::string::npos) cut = cut.slice(0, space);
  }
  return e.add(Value(cut.set_markup(text.is_markup())), Value(end));
}

// Runs of letters, digits and underscores.
Value wordcount(Evaluator& e, const Value& input, CallArgs& args) {
  ArgReader("wordcount", args).done();
  const Text text = to_text(input, e.budget());
  e.budget().work(text.size());
  int64_t count = 0;
  bool inside = false;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = decode_at(text.str(), at);
    const bool word = c == '_' || is_letter(c) || is_numeric(c);
    count += word && !inside;
    inside = word;
  }
  return Value(count);
}

Value center(Evaluator& e, const Value& input, CallArgs& args) {
  ArgReader reader("center", args);
  const int64_t width = reader.integer("width", 80);
  reader.done();
  const Text text = soft_text(input, e.budget());
  return Value(centered(text, width, Text(" "), e.budget()).set_markup(text.is_markup()));
}

Value filesizeformat(Evaluator& e, const Value& input, CallArgs& args) {
  ArgReader reader("filesizeformat", args);
  const bool binary = reader.flag("binary", false);
  reader.done();
  double bytes = 0;
  if (!as_number(input, bytes)) {
    CallArgs none;
    const Value number = find_filter("float")(e, input, none);
    bytes = *number.get<double>();
    if (bytes == 0) throw Error("filesizeformat needs a number");
  }
  if (bytes < -9e18) throw Error("a number does not fit 64 bits");
  const double base = binary ? 1024 : 1000;
  if (bytes == 1) return Value(Text("1 Byte"));
  if (bytes < base) return Value(Text(fmt::format("{} Bytes", static_cast<int64_t>(bytes))));
  const char* const prefixes = "KMGTPEZY";
  double unit = base;
  size_t i = 0;
  while (bytes / unit >= base && i < 7) {
    unit *= base;
    ++i;
  }
  const std::string prefix =
      binary ? std::string(1, prefixes[i]) + "iB" : std::string(1, i == 0 ? 'k' : prefixes[i]) + "B";
  return Value(Text(fmt::format("{:.1f} {}", bytes / unit, prefix)));
}

// %XX for all but letters, digits, _.-~ and, outside of query strings, the slash.
Text url_quoted(const Text& text, bool query, Budget& budget) {
  budget.alloc(3 * text.size());
  return map_code_points(text, [query](char32_t c, bool) -> std::string {
    std::string bytes, out;
    append_utf8(bytes, c);
    const bool plain =
        c < 0x80 && (std::isalnum(static_cast<int>(c)) != 0 ||
                     std::string_view("_.-~").find(static_cast<char>(c)) != std::string_view::npos);
    if (plain || (c == '/' && !query)) return bytes;
    if (c == ' ' && query) return "+";
    for (const char byte : bytes) out += fmt::format("%{:02X}", static_cast<unsigned char>(byte));
    return out;
  });
}

Value urlencode(Evaluator& e, const Value& input, CallArgs& args) {
  ArgReader("urlencode", args).done();
  const bool pairs = input.dict() != nullptr || input.sequence() != nullptr || input.iterator() != nullptr;
  if (!pairs) return Value(url_quoted(to_text(input, e.budget()), false, e.budget()));
  std::vector<Value> items;
  if (const Dict* dict = input.dict()) {
    for (const auto& [key, value] : dict->items)
      items.push_back(Value::sequence({key, value}, Sequence::Kind::kTuple));
  } else {
    items = iterate(input, e.budget());
  }
  Text out;
  for (const Value& item : items) {
    const auto pair = iterate(item, e.budget());
    if (pair.size() != 2) throw Error("urlencode needs text, a mapping or pairs");
    if (!out.empty()) out.append("&");
    out.append(url_quoted(to_text(pair[0], e.budget()), true, e.budget()));
    out.append("=");
    out.append(url_quoted(to_text(pair[1], e.budget()), true, e.budget()));
  }
  return Value(std::move(out));
}

// key="value" of every pair that has a value, with a space in front.
Value xmlattr(Evaluator& e, const Value& input, CallArgs& args) {
  ArgReader reader("xmlattr", args);
  const bool space = reader.flag("autospace", true);
  reader.done();
  if (input.dict() == nullptr) throw Error("xmlattr needs a mapping");
  Text out;
  for (const auto& [key, value] : input.dict()->items) {
    if (value.is_none() || value.is_undefined()) continue;
    const Text& name = need_text(key, "an attribute's name");
    if (name.str().find_first_of(" \t\n\r\f\v/>=") != std::string::npos)
      throw Error(fmt::format("invalid character in the attribute's name {}", repr(name.str())));
    const Text content = escaped(soft_text(value, e.budget()));
    e.budget().alloc(6 * name.size() + content.size() + 4);
    if (space || !out.empty()) out.append(" ");
    out.append(escaped(name));
    out.append("=\"");
    out.append(content);
    out.append("\"");
  }
  return Value(std::move(out));
}

}  // namespace

FilterFunction find_layout_filter(std::string_view name) {
  static const std::map<std::string_view, FilterFunction> kFilters = {
      {"center", center},       {"filesizeformat", filesizeformat}, {"truncate", truncate},
      {"urlencode", urlencode}, {"wordcount", wordcount},           {"xmlattr", xmlattr},
  };
  const auto at = kFilters.find(name);
  return at == kFilters.end() ? nullptr : at->second;
}

}  // namespace temper::jinja
