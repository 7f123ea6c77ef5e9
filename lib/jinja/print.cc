// str(), repr() and json.dumps() of template values, each byte keeping its origin.
#include <utf8proc.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "jinja/value.h"

namespace temper::jinja {
namespace {

constexpr int kMaxPrintDepth = 700;  // above what containers allow: only cycles through namespaces reach it

class Printer {
 public:
  explicit Printer(Budget& budget) : budget_(budget) {}

  void put(std::string_view bytes, Tag tag = kLiteral) {
    budget_.alloc(bytes.size() + sizeof(Text::Run));
    out_.append(bytes, tag);
  }
  void put(const Text& text) {
    budget_.alloc(text.size() + sizeof(Text::Run));
    out_.append(text);
  }
  void nest(int by) {
    depth_ += by;
    if (depth_ > kMaxPrintDepth) throw Error("a value that contains itself cannot be printed");
  }
  Budget& budget() { return budget_; }
  Text take() { return std::move(out_); }

 private:
  Budget& budget_;
  Text out_;
  int depth_ = 0;
};

bool printable(char32_t c) {
  if (c == ' ') return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
      return false;
    default:
      return true;
  }
}

Text repr_text(const Text& text) {
  const std::string& s = text.str();
  const char quote = s.find('\'') != std::string::npos && s.find('"') == std::string::npos ? '"' : '\'';
  Text out{std::string_view(&quote, 1)};
  out.append(map_code_points(text, [&](char32_t c, bool) -> std::string {
    if (c == '\n') return "\\n";
    if (c == '\r') return "\\r";
    if (c == '\t') return "\\t";
    if (c == '\\' || c == static_cast<char32_t>(quote)) return std::string("\\") + static_cast<char>(c);
    if (!printable(c)) {
      const auto code = static_cast<uint32_t>(c);
      return c < 0x100     ? fmt::format("\\x{:02x}", code)
             : c < 0x10000 ? fmt::format("\\u{:04x}", code)
                           : fmt::format("\\U{:08x}", code);
    }
    std::string same;
    append_utf8(same, c);
    return same;
  }));
  out.append(std::string_view(&quote, 1));
  return out;
}

void print_repr(Printer& p, const Value& value);

template <class Items>
void print_list(Printer& p, const Items& items, std::string_view open, std::string_view close) {
  p.put(open);
  bool first = true;
  for (const Value& item : items) {
    if (!first) p.put(", ");
    first = false;
    print_repr(p, item);
  }
  p.put(close);
}

void print_repr(Printer& p, const Value& value) {
  p.budget().step();
  p.nest(1);
  if (value.is_undefined()) {
    p.put("Undefined");
  } else if (value.is_none()) {
    p.put("None");
  } else if (const bool* b = value.get<bool>()) {
    p.put(*b ? "True" : "False");
  } else if (const int64_t* i = value.get<int64_t>()) {
    p.put(std::to_string(*i));
  } else if (const double* d = value.get<double>()) {
    p.put(repr(*d));
  } else if (const Text* text = value.text()) {
    if (text->is_markup()) p.put("Markup(");
    p.put(repr_text(*text));
    if (text->is_markup()) p.put(")");
  } else if (const Sequence* s = value.sequence()) {
    switch (s->kind) {
      case Sequence::Kind::kList:
        print_list(p, s->items, "[", "]");
        break;
      case Sequence::Kind::kTuple:
      case Sequence::Kind::kGroup:
        print_list(p, s->items, "(", s->items.size() == 1 ? ",)" : ")");
        break;
      case Sequence::Kind::kView:
        print_list(p, s->items, s->label + "([", "])");
        break;
      case Sequence::Kind::kRange:
        p.put(s->label);
        break;
    }
  } else if (const Dict* dict = value.dict()) {
    p.put("{");
    bool first = true;
    for (const auto& [key, item] : dict->items) {
      if (!first) p.put(", ");
      first = false;
      print_repr(p, key);
      p.put(": ");
      print_repr(p, item);
    }
    p.put("}");
  } else if (const Namespace* space = value.name_space()) {
    p.put("<Namespace {");
    bool first = true;
    for (const auto& [name, item] : space->items) {
      if (!first) p.put(", ");
      first = false;
      p.put(repr(name) + ": ");
      print_repr(p, item);
    }
    p.put("}>");
  } else if (const Loop* loop = value.loop()) {
    p.put(fmt::format("<LoopContext {}/{}>", loop->index + 1, loop->items.size()));
  } else {
    p.put(fmt::format("<{}>", value.type_name()));
  }
  p.nest(-1);
}

std::string json_escape(char32_t c, bool ascii) {
  switch (c) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    case '\f':
      return "\\f";
    case '\b':
      return "\\b";
    default:
      break;
  }
  const auto code = static_cast<uint32_t>(c);
  if (c < 0x20 || (ascii && c > 0x7E && c < 0x10000)) return fmt::format("\\u{:04x}", code);
  if (ascii && c >= 0x10000) {
    return fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((code - 0x10000) >> 10),
                       0xDC00 + ((code - 0x10000) & 0x3FF));
  }
  std::string same;
  append_utf8(same, c);
  return same;
}

class JsonPrinter {
 public:
  JsonPrinter(const JsonStyle& style, Budget& budget) : style_(style), p_(budget) {}

  void print(const Value& value, int level) {
    p_.budget().step();
    p_.nest(1);
    if (const Text* text = value.text()) {
      p_.put("\"");
      p_.put(map_code_points(*text, [&](char32_t c, bool) { return json_escape(c, style_.ascii); }));
      p_.put("\"");
    } else if (const Sequence* s = value.sequence(); s != nullptr && (value.is_list() || value.is_tuple())) {
      if (s->items.empty()) p_.put("[]");
      for (size_t i = 0; i < s->items.size(); ++i) {
        open(i == 0 ? "[" : "", level);
        print(s->items[i], level + 1);
      }
      if (!s->items.empty()) close("]", level);
    } else if (const Dict* dict = value.dict()) {
      print_dict(*dict, level);
    } else {
      p_.put(scalar(value, "Object of type {} is not JSON serializable"));
    }
    p_.nest(-1);
  }

  Text take() { return p_.take(); }

 private:
  void print_dict(const Dict& dict, int level) {
    std::vector<const std::pair<Value, Value>*> items;
    for (const auto& item : dict.items) items.push_back(&item);
    if (style_.sort_keys) {
      std::stable_sort(items.begin(), items.end(),
                       [&](auto* a, auto* b) { return compare(a->first, b->first, p_.budget()) < 0; });
    }
    if (items.empty()) p_.put("{}");
    for (size_t i = 0; i < items.size(); ++i) {
      open(i == 0 ? "{" : "", level);
      const Value& key = items[i]->first;
      print(key.text() ? key : Value(Text(scalar(key, "keys must be str, int, float, bool or None, not {}"))),
            level);
      p_.put(style_.key_separator);
      print(items[i]->second, level + 1);
    }
    if (!items.empty()) close("}", level);
  }

  std::string scalar(const Value& value, fmt::format_string<std::string> complaint) {
    if (value.is_none()) return "null";
    if (const bool* b = value.get<bool>()) return *b ? "true" : "false";
    if (const int64_t* i = value.get<int64_t>()) return std::to_string(*i);
    if (const double* d = value.get<double>()) {
      if (std::isnan(*d)) return "NaN";
      if (std::isinf(*d)) return *d < 0 ? "-Infinity" : "Infinity";
      return repr(*d);
    }
    throw Error(fmt::format(complaint, value.type_name()));
  }

  // Before an item; `bracket` is empty for all but the first.
  void open(std::string_view bracket, int level) {
    if (bracket.empty()) {
      p_.put(style_.item_separator);
    } else {
      p_.put(bracket);
    }
    if (style_.pretty) line(level + 1);
  }
  void close(std::string_view bracket, int level) {
    if (style_.pretty) line(level);
    p_.put(bracket);
  }
  void line(int level) {
    p_.put("\n");
    for (int i = 0; i < level; ++i) p_.put(style_.indent);
  }

  const JsonStyle& style_;
  Printer p_;
};

}  // namespace

Text repr(const Value& value, Budget& budget) {
  Printer p(budget);
  print_repr(p, value);
  return p.take();
}

std::string repr(const std::string& text) {
  return repr_text(Text(text)).str();
}

Text to_text(const Value& value, Budget& budget) {
  return soft_text(value, budget).set_markup(false);
}

Text soft_text(const Value& value, Budget& budget) {
  if (const Text* text = value.text()) return *text;
  if (value.is_undefined()) return Text();
  return repr(value, budget);
}

Text to_json(const Value& value, const JsonStyle& style, Budget& budget) {
  JsonPrinter p(style, budget);
  p.print(value, 0);
  return p.take();
}

}  // namespace temper::jinja
