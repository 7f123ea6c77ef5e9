// The methods of text, as Python has them.
#include <algorithm>
#include <map>

#include "base/error.h"
#include "jinja/evaluator.h"
#include "jinja/functions.h"

namespace temper::jinja {
namespace {

const Text& text_of(const Value& self) {
  return *self.text();
}

// What a method puts into its text: escaped where that is markup.
Text like(const Value& self, const Text& part) {
  return text_of(self).is_markup() ? escaped(part) : part;
}

// strip, lstrip, rstrip
Value stripped(Evaluator&, const Value& self, CallArgs& args, bool left, bool right) {
  ArgReader reader("strip", args);
  const Value* chars = reader.optional("chars");
  reader.done();
  const bool given = chars != nullptr && !chars->is_none();
  return Value(
      strip(text_of(self), given ? &need_text(*chars, "strip's chars").str() : nullptr, left, right));
}
Value method_strip(Evaluator& e, const Value& s, CallArgs& args) {
  return stripped(e, s, args, true, true);
}
Value method_lstrip(Evaluator& e, const Value& s, CallArgs& args) {
  return stripped(e, s, args, true, false);
}
Value method_rstrip(Evaluator& e, const Value& s, CallArgs& args) {
  return stripped(e, s, args, false, true);
}

Value split_method(Evaluator& e, const Value& self, CallArgs& args, bool from_right) {
  ArgReader reader("split", args);
  const Value* separator = reader.optional("sep");
  const int64_t limit = reader.integer("maxsplit", -1);
  reader.done();
  const bool given = separator != nullptr && !separator->is_none();
  const std::string* by = given ? &need_text(*separator, "split's separator").str() : nullptr;
  return Value::sequence(to_values(split(text_of(self), by, limit, from_right, e.budget())));
}
Value method_split(Evaluator& e, const Value& s, CallArgs& args) {
  return split_method(e, s, args, false);
}
Value method_rsplit(Evaluator& e, const Value& s, CallArgs& args) {
  return split_method(e, s, args, true);
}

Value method_splitlines(Evaluator& e, const Value& self, CallArgs& args) {
  ArgReader reader("splitlines", args);
  const bool keep = reader.flag("keepends", false);
  reader.done();
  return Value::sequence(to_values(split_lines(text_of(self), keep, e.budget())));
}

Value partition(const Value& self, CallArgs& args, bool from_right) {
  ArgReader reader("partition", args);
  const Text separator = need_text(reader.required("sep"), "partition's separator");
  reader.done();
  if (separator.empty()) throw Error("partition: empty separator");
  const Text& text = text_of(self);
  const size_t at =
      from_right ? find_last(text.str(), separator.str()) : find_first(text.str(), separator.str());
  std::vector<Value> out;
  if (at == std::string::npos) {
    out = from_right ? std::vector<Value>{Value(Text()), Value(Text()), self}
                     : std::vector<Value>{self, Value(Text()), Value(Text())};
  } else {
    const size_t after = at + separator.size();
    out = {Value(text.slice(0, at)), Value(text.slice(at, after)), Value(text.slice(after, text.size()))};
  }
  return Value::sequence(std::move(out), Sequence::Kind::kTuple);
}
Value method_partition(Evaluator&, const Value& s, CallArgs& args) {
  return partition(s, args, false);
}
Value method_rpartition(Evaluator&, const Value& s, CallArgs& args) {
  return partition(s, args, true);
}

Value method_replace(Evaluator& e, const Value& self, CallArgs& args) {
  ArgReader reader("replace", args);
  const Text& old_part = need_text(reader.required("old"), "what replace looks for");
  const Text& new_part = need_text(reader.required("new"), "what replace puts in");
  const int64_t count = reader.integer("count", -1);
  reader.done();
  return Value(replace(text_of(self), old_part.str(), like(self, new_part), count, e.budget()));
}

// The bytes of text[start:end] that find, count, startswith and endswith look at; false when start lies
// behind the end.
bool window(ArgReader& reader, const Text& text, size_t& begin, size_t& end) {
  begin = 0;
  end = text.size();
  const Value* first = reader.optional("start");
  const Value* last = reader.optional("end");
  if (first == nullptr && last == nullptr) return true;
  const auto starts = code_point_starts(text.str());
  const auto length = static_cast<int64_t>(starts.size()) - 1;
  auto place = [&](const Value* value, int64_t otherwise) {
    int64_t at = otherwise;
    if (value != nullptr && !value->is_none() && !as_int(*value, at)) throw Error("positions are integers");
    return at < 0 ? std::max<int64_t>(at + length, 0) : at;
  };
  const int64_t from = place(first, 0), to = std::min(place(last, length), length);
  if (from > to) return false;
  begin = starts[static_cast<size_t>(from)];
  end = starts[static_cast<size_t>(to)];
  return true;
}

Value fix(const Value& self, CallArgs& args, bool at_end) {
  ArgReader reader(at_end ? "endswith" : "startswith", args);
  const Value parts = reader.required("prefix");
  size_t begin, end;
  if (!window(reader, text_of(self), begin, end)) return Value(false);
  reader.done();
  const std::string_view seen = std::string_view(text_of(self).str()).substr(begin, end - begin);
  auto fits = [&](const Value& part) {
    const std::string& wanted = need_text(part, "what startswith and endswith look for").str();
    return at_end ? seen.ends_with(wanted) : seen.starts_with(wanted);
  };
  if (!parts.is_tuple()) return Value(fits(parts));
  const auto& items = parts.sequence()->items;
  return Value(std::any_of(items.begin(), items.end(), fits));
}
Value method_startswith(Evaluator&, const Value& s, CallArgs& args) {
  return fix(s, args, false);
}
Value method_endswith(Evaluator&, const Value& s, CallArgs& args) {
  return fix(s, args, true);
}

Value find_method(const Value& self, CallArgs& args, bool from_right, bool must) {
  ArgReader reader("find", args);
  const std::string part = need_text(reader.required("sub"), "what find looks for").str();
  size_t begin, end;
  const std::string& text = text_of(self).str();
  size_t at = std::string::npos;
  if (window(reader, text_of(self), begin, end)) {
    const std::string_view seen = std::string_view(text).substr(begin, end - begin);
    at = from_right ? find_last(seen, part) : find_first(seen, part);
  }
  reader.done();
  if (at == std::string::npos && must) throw Error("substring not found");
  if (at == std::string::npos) return Value(int64_t{-1});
  return Value(static_cast<int64_t>(count_code_points(std::string_view(text).substr(0, begin + at))));
}
Value method_find(Evaluator&, const Value& s, CallArgs& args) {
  return find_method(s, args, false, false);
}
Value method_rfind(Evaluator&, const Value& s, CallArgs& args) {
  return find_method(s, args, true, false);
}
Value method_index(Evaluator&, const Value& s, CallArgs& args) {
  return find_method(s, args, false, true);
}

Value method_rindex(Evaluator&, const Value& s, CallArgs& args) {
  return find_method(s, args, true, true);
}

Value method_count(Evaluator&, const Value& self, CallArgs& args) {
  ArgReader reader("count", args);
  const std::string part = need_text(reader.required("sub"), "what count looks for").str();
  size_t begin, end;
  int64_t count = 0;
  if (window(reader, text_of(self), begin, end)) {
    const std::string_view seen = std::string_view(text_of(self).str()).substr(begin, end - begin);
    if (part.empty()) return Value(static_cast<int64_t>(count_code_points(seen)) + 1);
    for (size_t at = find_first(seen, part); at != std::string::npos;
         at = find_first(seen, part, at + part.size())) {
      ++count;
    }
  }
  reader.done();
  return Value(count);
}

Value method_join(Evaluator& e, const Value& self, CallArgs& args) {
  ArgReader reader("join", args);
  const Value list = reader.required("iterable");
  reader.done();
  std::vector<Text> parts;
  for (const Value& item : iterate(list, e.budget())) {
    parts.push_back(text_of(self).is_markup() ? escaped(soft_text(item, e.budget()))
                                              : need_text(item, "what join puts together"));
    e.budget().alloc(sizeof(Text) + parts.back().size());
  }
  return Value(join(text_of(self), parts, e.budget()));
}

template <std::string (*change)(char32_t)>
Value method_mapped(Evaluator& e, const Value& self, CallArgs& args) {
  ArgReader("upper/lower", args).done();
  return Value(map_code_points(text_of(self), [](char32_t c, bool) { return change(c); }));
}
Value method_title(Evaluator&, const Value& self, CallArgs& args) {
  ArgReader("title", args).done();
  return Value(title_case(text_of(self), true));
}
Value method_capitalize(Evaluator&, const Value& self, CallArgs& args) {
  ArgReader("capitalize", args).done();
  return Value(capitalized(text_of(self)));
}
Value method_format(Evaluator& e, const Value& self, CallArgs& args) {
  return Value(format_braces(e, text_of(self), args));
}

Value remove_fix(const Value& self, CallArgs& args, bool at_end) {
  ArgReader reader("removeprefix", args);
  const std::string& part = need_text(reader.required("prefix"), "what is removed").str();
  reader.done();
  const Text& text = text_of(self);
  if (at_end) return text.str().ends_with(part) ? Value(text.slice(0, text.size() - part.size())) : self;
  return text.str().starts_with(part) ? Value(text.slice(part.size(), text.size())) : self;
}
Value method_removeprefix(Evaluator&, const Value& s, CallArgs& args) {
  return remove_fix(s, args, false);
}
Value method_removesuffix(Evaluator&, const Value& s, CallArgs& args) {
  return remove_fix(s, args, true);
}

// isdigit, isalpha ...: all code points of a text that is not empty.
template <bool (*good)(char32_t)>
Value method_all(Evaluator&, const Value& self, CallArgs& args) {
  ArgReader("is...", args).done();
  const std::string& text = text_of(self).str();
  for (size_t at = 0; at < text.size();) {
    if (!good(decode_at(text, at))) return Value(false);
  }
  return Value(!text.empty());
}
bool is_letter_or_digit(char32_t c) {
  return is_letter(c) || is_numeric(c);
}
bool is_ascii(char32_t c) {
  return c < 0x80;
}

// isupper, islower: no cased letter of the other kind, and one of this at least.
template <bool upper>
Value method_cased(Evaluator&, const Value& self, CallArgs& args) {
  ArgReader("is...", args).done();
  return Value(all_cased(text_of(self), upper));
}

Value method_isascii(Evaluator& e, const Value& self, CallArgs& args) {
  if (!text_of(self).empty()) return method_all<is_ascii>(e, self, args);
  ArgReader("isascii", args).done();
  return Value(true);
}

// Upper case begins words and nothing else.
Value method_istitle(Evaluator&, const Value& self, CallArgs& args) {
  ArgReader("istitle", args).done();
  bool some = false, after_cased = false;
  for (size_t at = 0; at < text_of(self).size();) {
    const char32_t c = decode_at(text_of(self).str(), at);
    if (is_upper(c) ? after_cased : is_lower(c) && !after_cased) return Value(false);
    after_cased = is_upper(c) || is_lower(c);
    some |= after_cased;
  }
  return Value(some);
}

Value method_swapcase(Evaluator&, const Value& self, CallArgs& args) {
  ArgReader("swapcase", args).done();
  return Value(map_code_points(text_of(self),
                               [](char32_t c, bool) { return is_upper(c) ? to_lower(c) : to_upper(c); }));
}

Value method_casefold(Evaluator&, const Value& self, CallArgs& args) {
  ArgReader("casefold", args).done();
  return Value(map_code_points(text_of(self),
                               [](char32_t c, bool) { return c == 0xDF ? std::string("ss") : to_lower(c); }));
}

// center, ljust, rjust: how much of the gap stands left, in halves.
template <int halves>
Value method_padded(Evaluator& e, const Value& self, CallArgs& args) {
  ArgReader reader("a method that fills up", args);
  int64_t width = 0;
  if (!as_int(reader.required("width"), width)) throw Error("a width is an integer");
  const Value* given = reader.optional("fillchar");
  reader.done();
  Text fill = given != nullptr ? like(self, need_text(*given, "what fills up")) : Text(" ");
  if (count_code_points(fill.str()) != 1) throw Error("what fills up is one character");
  const Text& text = text_of(self);
  if (halves == 1) return Value(centered(text, width, fill, e.budget()));
  const int64_t gap = width - static_cast<int64_t>(count_code_points(text.str()));
  Text out = repeat(fill, halves == 0 ? 0 : gap, e.budget());
  out.append(text);
  if (halves == 0) out.append(repeat(fill, gap, e.budget()));
  return Value(std::move(out));
}

// Zeros behind the sign.
Value method_zfill(Evaluator& e, const Value& self, CallArgs& args) {
  ArgReader reader("zfill", args);
  int64_t width = 0;
  if (!as_int(reader.required("width"), width)) throw Error("a width is an integer");
  reader.done();
  const Text& text = text_of(self);
  const size_t sign = text.str().starts_with('-') || text.str().starts_with('+') ? 1 : 0;
  Text out = text.slice(0, sign);
  out.append(repeat(Text("0"), width - static_cast<int64_t>(count_code_points(text.str())), e.budget()));
  out.append(text, sign, text.size());
  return Value(std::move(out));
}

Value method_expandtabs(Evaluator& e, const Value& self, CallArgs& args) {
  ArgReader reader("expandtabs", args);
  const int64_t size = reader.integer("tabsize", 8);
  reader.done();
  Text out;
  const Text& text = text_of(self);
  int64_t column = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const char32_t c = decode_at(text.str(), at);
    if (c != '\t') {
      out.append(text, begin, at);
      column = c == '\n' || c == '\r' ? 0 : column + 1;
    } else if (size > 0) {
      const int64_t gap = size - column % size;
      out.append(repeat(Text(" ", text.tag_at(begin)), gap, e.budget()));
      column += gap;
    }
  }
  return Value(std::move(out));
}

}  // namespace

Method find_text_method(const std::string& name) {
  static const std::map<std::string, Method> kMethods = {
      {"strip", method_strip},
      {"lstrip", method_lstrip},
      {"rstrip", method_rstrip},
      {"split", method_split},
      {"rsplit", method_rsplit},
      {"splitlines", method_splitlines},
      {"partition", method_partition},
      {"rpartition", method_rpartition},
      {"replace", method_replace},
      {"startswith", method_startswith},
      {"endswith", method_endswith},
      {"find", method_find},
      {"rfind", method_rfind},
      {"index", method_index},
      {"rindex", method_rindex},
      {"count", method_count},
      {"join", method_join},
      {"upper", method_mapped<to_upper>},
      {"lower", method_mapped<to_lower>},
      {"title", method_title},
      {"capitalize", method_capitalize},
      {"format", method_format},
      {"removeprefix", method_removeprefix},
      {"removesuffix", method_removesuffix},
      {"isdigit", method_all<is_digit>},
      {"isdecimal", method_all<is_decimal>},
      {"isnumeric", method_all<is_numeric>},
      {"isalpha", method_all<is_letter>},
      {"isalnum", method_all<is_letter_or_digit>},
      {"isspace", method_all<is_space>},
      {"isascii", method_isascii},
      {"isupper", method_cased<true>},
      {"islower", method_cased<false>},
      {"istitle", method_istitle},
      {"swapcase", method_swapcase},
      {"casefold", method_casefold},
      {"center", method_padded<1>},
      {"ljust", method_padded<0>},
      {"rjust", method_padded<2>},
      {"zfill", method_zfill},
      {"expandtabs", method_expandtabs},
  };
  const auto at = kMethods.find(name);
  return at == kMethods.end() ? nullptr : at->second;
}

}  // namespace temper::jinja
