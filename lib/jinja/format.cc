// Python's two ways of formatting: "%s" % value and "{}".format(value).
#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "jinja/evaluator.h"
#include "jinja/functions.h"

namespace temper::jinja {
namespace {

constexpr int64_t kMaxWidth = 1 << 20;

struct Spec {
  std::string fill = " ";
  char align = 0, sign = 0, type = 0;
  bool zero = false, alternate = false;
  char group = 0;
  int64_t width = 0, precision = -1;
};

// Digits at `at`, bounded so that a width cannot ask for the whole memory.
bool read_number(std::string_view s, size_t& at, int64_t& out) {
  if (at >= s.size() || s[at] < '0' || s[at] > '9') return false;
  const auto [end, error] = std::from_chars(s.data() + at, s.data() + s.size(), out);
  if (error != std::errc() || out > kMaxWidth) throw Error("a width or precision in a format is too large");
  at = static_cast<size_t>(end - s.data());
  return true;
}

std::string grouped(std::string digits, char mark) {
  const size_t whole = std::min(digits.find('.'), digits.size());
  for (size_t at = whole; at > 3; at -= 3) digits.insert(at - 3, 1, mark);
  return digits;
}

// The digits of |number| without sign.
std::string number_digits(const Value& value, const Spec& spec) {
  int64_t i = 0;
  double d = 0;
  const bool whole = as_int(value, i);
  if (!as_number(value, d)) {
    throw Error(
        fmt::format("a number is needed for the format '{}', not '{}'", spec.type, value.type_name()));
  }
  if (!whole && spec.type != 0 && std::string_view("xXob").find(spec.type) != std::string_view::npos) {
    throw Error(fmt::format("the format '{}' needs an integer, not '{}'", spec.type, value.type_name()));
  }
  const uint64_t magnitude = i < 0 ? 0 - static_cast<uint64_t>(i) : static_cast<uint64_t>(i);
  const double size = std::fabs(d);
  const auto places = static_cast<int>(std::min<int64_t>(spec.precision < 0 ? 6 : spec.precision, 1000));
  switch (spec.type) {
    case 'x':
      return fmt::format("{}{:x}", spec.alternate ? "0x" : "", magnitude);
    case 'X':
      return fmt::format("{}{:X}", spec.alternate ? "0X" : "", magnitude);
    case 'o':
      return fmt::format("{}{:o}", spec.alternate ? "0o" : "", magnitude);
    case 'b':
      return fmt::format("{}{:b}", spec.alternate ? "0b" : "", magnitude);
    case 'd':
    case 'i':
    case 'u':
      if (!whole && !(size < 9.2e18)) throw Error("a number in a format does not fit 64 bits");
      return std::to_string(whole ? magnitude : static_cast<uint64_t>(size));
    case 'e':
      return fmt::format("{:.{}e}", size, places);
    case 'E':
      return fmt::format("{:.{}E}", size, places);
    case 'g':
      return fmt::format("{:.{}g}", size, places == 0 ? 1 : places);
    case 'G':
      return fmt::format("{:.{}G}", size, places == 0 ? 1 : places);
    case '%':
      return fmt::format("{:.{}f}%", size * 100, places);
    case 'f':
    case 'F':
      return fmt::format("{:.{}f}", size, places);
    default:
      if (whole) return std::to_string(magnitude);
      if (spec.precision < 0) return repr(size);
      return fmt::format("{:.{}g}", size, places == 0 ? 1 : places);
  }
}

// The text of a repr with all that is not ASCII escaped.
Text ascii(const Text& text) {
  return map_code_points(text, [](char32_t c, bool) {
    const auto code = static_cast<uint32_t>(c);
    return c < 0x80      ? std::string(1, static_cast<char>(c))
           : c < 0x100   ? fmt::format("\\x{:02x}", code)
           : c < 0x10000 ? fmt::format("\\u{:04x}", code)
                         : fmt::format("\\U{:08x}", code);
  });
}

// The character of a number.
Text character(const Value& value) {
  int64_t code = 0;
  if (!as_int(value, code))
    throw Error(fmt::format("%c needs a number or one character, not '{}'", value.type_name()));
  if (code < 0 || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
    throw Error(fmt::format("no character has the number {}", code));
  std::string out;
  append_utf8(out, static_cast<char32_t>(code));
  return Text(out);
}

Text padded(const Text& body, const std::string& sign, const Spec& spec, char default_align, Budget& budget) {
  const auto length = static_cast<int64_t>(count_code_points(body.str()) + sign.size());
  const int64_t gap = std::max<int64_t>(spec.width - length, 0);
  const char align = spec.align != 0 ? spec.align : spec.zero ? '=' : default_align;
  const Text fill(spec.align == 0 && spec.zero ? "0" : spec.fill);
  const int64_t left = align == '>' ? gap : align == '^' ? gap / 2 : 0;
  Text out = repeat(fill, left, budget);
  out.append(sign);
  if (align == '=') out.append(repeat(fill, gap, budget));
  budget.alloc(body.size());
  out.append(body);
  if (align == '<' || align == '^') out.append(repeat(fill, gap - left, budget));
  return out;
}

Text formatted(const Value& value, const Spec& spec, char text_align, Budget& budget) {
  double d = 0;
  const bool number = as_number(value, d) && (value.get<bool>() == nullptr || spec.type != 0);
  if (number && spec.type != 's') {
    std::string digits = number_digits(value, spec);
    if (spec.group != 0) digits = grouped(digits, spec.group);
    const std::string sign = std::signbit(d)                        ? "-"
                             : spec.sign == '+' || spec.sign == ' ' ? std::string(1, spec.sign)
                                                                    : "";
    return padded(Text(digits), sign, spec, '>', budget);
  }
  if (spec.type != 0 && spec.type != 's') number_digits(value, spec);  // complains
  Text text = to_text(value, budget);
  if (spec.precision >= 0) {
    const auto starts = code_point_starts(text.str());
    if (static_cast<size_t>(spec.precision) < starts.size())
      text = text.slice(0, starts[static_cast<size_t>(spec.precision)]);
  }
  return padded(text, "", spec, text_align, budget);
}

}  // namespace

Text format_value(const Value& value, const std::string& text, Budget& budget) {
  Spec spec;
  size_t at = 0;
  const auto starts = code_point_starts(text);
  auto is_align = [&](size_t i) {
    return i < text.size() && std::string_view("<>=^").find(text[i]) != std::string::npos;
  };
  if (starts.size() > 2 && is_align(starts[1])) {
    spec.fill = text.substr(0, starts[1]);
    spec.align = text[starts[1]];
    at = starts[1] + 1;
  } else if (is_align(0)) {
    spec.align = text[0];
    at = 1;
  }
  auto flag = [&](char c) { return at < text.size() && text[at] == c ? ++at, true : false; };
  for (char c : {'+', '-', ' '}) {
    if (flag(c)) spec.sign = c;
  }
  spec.alternate = flag('#');
  spec.zero = flag('0');
  read_number(text, at, spec.width);
  if (flag(',')) spec.group = ',';
  if (flag('_')) spec.group = '_';
  if (flag('.') && !read_number(text, at, spec.precision)) throw Error("a format misses its precision");
  if (at < text.size()) spec.type = text[at++];
  if (at != text.size() ||
      (spec.type != 0 && std::string_view("scdnxXobeEfFgG%").find(spec.type) == std::string::npos)) {
    throw Error(fmt::format("the format '{}' is not understood", text));
  }
  if (spec.type == 'c') return padded(character(value), "", spec, '>', budget);
  int64_t whole = 0;
  if (spec.type == 'd' && !as_int(value, whole))
    throw Error(fmt::format("the format 'd' needs an integer, not '{}'", value.type_name()));
  if (spec.type == 's' && value.text() == nullptr)
    throw Error(fmt::format("the format 's' needs text, not '{}'", value.type_name()));
  if (spec.type == 'n') spec.type = as_int(value, whole) ? 'd' : 'g';
  return formatted(value, spec, '<', budget);
}

Text format_percent(const Text& format, const Value& value, Budget& budget) {
  const std::string& s = format.str();
  std::vector<Value> values = value.is_tuple() ? value.sequence()->items : std::vector<Value>{value};
  size_t next = 0;
  bool by_name = false;
  auto take = [&]() -> Value {
    if (next >= values.size()) throw Error("not enough arguments for format string");
    return values[next++];
  };
  Text out;
  out.set_markup(format.is_markup());
  for (size_t at = 0; at < s.size();) {
    const size_t mark = std::min(s.find('%', at), s.size());
    budget.alloc(mark - at + sizeof(Text::Run));
    out.append(format, at, mark);
    if (mark == s.size()) break;
    at = mark + 1;
    Spec spec;
    bool named = false;
    Value chosen;
    if (at < s.size() && s[at] == '(') {
      const size_t close = s.find(')', at);
      if (close == std::string::npos) throw Error("incomplete format key");
      const Value* found =
          value.dict() ? value.dict()->find(Value(Text(s.substr(at + 1, close - at - 1))), budget) : nullptr;
      if (found == nullptr)
        throw Error(fmt::format("the format's key '{}' is not there", s.substr(at + 1, close - at - 1)));
      chosen = *found;
      named = by_name = true;
      at = close + 1;
    }
    for (; at < s.size() && std::string_view("-+ #0").find(s[at]) != std::string::npos; ++at) {
      if (s[at] == '-') spec.align = '<';
      if (s[at] == '+' || (s[at] == ' ' && spec.sign == 0)) spec.sign = s[at];
      if (s[at] == '#') spec.alternate = true;
      if (s[at] == '0') spec.zero = true;
    }
    read_number(s, at, spec.width);
    if (at < s.size() && s[at] == '.') {
      ++at;
      if (!read_number(s, at, spec.precision)) spec.precision = 0;
    }
    if (at >= s.size()) throw Error("incomplete format");
    spec.type = s[at++];
    if (spec.type == '%') {
      out.append("%");
      continue;
    }
    if (std::string_view("sracdiuxXoeEfFgG").find(spec.type) == std::string::npos) {
      throw Error(fmt::format("unsupported format character '{}'", spec.type));
    }
    if (!named) chosen = take();
    if (spec.type == 'r') chosen = Value(repr(chosen, budget));
    if (spec.type == 'a') chosen = Value(ascii(repr(chosen, budget)));
    if (spec.type == 'c') {
      const bool one = chosen.text() != nullptr && count_code_points(chosen.text()->str()) == 1;
      chosen = one ? chosen : Value(character(chosen));
      spec.type = 's';
    }
    if (spec.type == 's' || spec.type == 'r' || spec.type == 'a') {
      const Text plain = soft_text(chosen, budget);
      chosen = Value(format.is_markup() ? escaped(plain) : plain);
      spec.type = 's';
      spec.zero = false;
    }
    const Text piece = formatted(chosen, spec, '>', budget);
    budget.alloc(piece.size());
    out.append(piece);
  }
  const bool left_over = next < values.size() && !by_name && !(value.dict() || value.is_list());
  if (left_over) throw Error("not all arguments converted during string formatting");
  return out;
}

namespace {

// The fields of one format string: {name.attribute[key]!conversion:specification}.
class BraceFields {
 public:
  BraceFields(Evaluator& evaluator, const CallArgs& args) : evaluator_(evaluator), args_(args) {}

  // The value of the text in front of : or !.
  Value find(const std::string& field) {
    size_t end = std::min(field.find_first_of(".["), field.size());
    Value value = head(field.substr(0, end));
    while (end < field.size()) {
      const bool bracket = field[end] == '[';
      const size_t stop =
          bracket ? field.find(']', end) : std::min(field.find_first_of(".[", end + 1), field.size());
      if (stop == std::string::npos) throw Error("a bracket in a format string is never closed");
      const std::string key = field.substr(end + 1, stop - end - 1);
      size_t taken = 0;
      int64_t position = 0;
      const bool index = bracket && read_number(key, taken, position) && taken == key.size();
      value = !bracket ? evaluator_.attribute(value, key)
                       : evaluator_.subscript(value, index ? Value(position) : Value(Text(key)));
      end = stop + (bracket ? 1 : 0);
    }
    return value;
  }

  // A specification whose own fields are filled in.
  std::string fill(const std::string& spec) {
    std::string out;
    for (size_t at = 0; at < spec.size();) {
      const size_t open = std::min(spec.find('{', at), spec.size());
      out += spec.substr(at, open - at);
      if (open == spec.size()) break;
      const size_t close = spec.find('}', open);
      if (close == std::string::npos) throw Error("single brace in a format string");
      out += to_text(find(spec.substr(open + 1, close - open - 1)), evaluator_.budget()).str();
      at = close + 1;
    }
    return out;
  }

 private:
  Value head(const std::string& name) {
    const Value* found = nullptr;
    int64_t position = 0;
    size_t digits = 0;
    const bool numbered = read_number(name, digits, position) && digits == name.size();
    if (name.empty() || numbered) {
      if ((name.empty() && automatic_ < 0) || (numbered && automatic_ > 0))
        throw Error("a format numbers its fields either all or none");
      if (name.empty()) position = automatic_++;
      if (numbered) automatic_ = -1;
      if (position < static_cast<int64_t>(args_.positional.size()))
        found = &args_.positional[static_cast<size_t>(position)];
    } else {
      for (const auto& [key, value] : args_.named) {
        if (key == name) found = &value;
      }
    }
    if (found == nullptr) throw Error(fmt::format("format() got nothing for '{{{}}}'", name));
    return *found;
  }

  Evaluator& evaluator_;
  const CallArgs& args_;
  int64_t automatic_ = 0;  // the next field without a number; -1: they have numbers
};

// The brace that closes the one before `at`.
size_t closing_brace(const std::string& s, size_t at) {
  int depth = 1;
  for (; at < s.size(); ++at) {
    depth += s[at] == '{' ? 1 : s[at] == '}' ? -1 : 0;
    if (depth == 0) return at;
  }
  throw Error("single brace in a format string");
}

}  // namespace

Text format_braces(Evaluator& evaluator, const Text& format, const CallArgs& args) {
  const std::string& s = format.str();
  Budget& budget = evaluator.budget();
  BraceFields fields(evaluator, args);
  Text out;
  out.set_markup(format.is_markup());
  for (size_t at = 0; at < s.size();) {
    const size_t mark = std::min(s.find_first_of("{}", at), s.size());
    budget.alloc(mark - at + sizeof(Text::Run));
    out.append(format, at, mark);
    if (mark == s.size()) break;
    if (mark + 1 < s.size() && s[mark + 1] == s[mark]) {
      out.append(format, mark, mark + 1);
      at = mark + 2;
      continue;
    }
    if (s[mark] == '}') throw Error("single brace in a format string");
    const size_t close = closing_brace(s, mark + 1);
    std::string field = s.substr(mark + 1, close - mark - 1), spec;
    at = close + 1;
    if (const size_t colon = field.find(':'); colon != std::string::npos) {
      spec = field.substr(colon + 1);
      field.resize(colon);
    }
    char conversion = 0;
    if (field.size() >= 2 && field[field.size() - 2] == '!') {
      conversion = field.back();
      field.resize(field.size() - 2);
    }
    Value value = fields.find(field);
    spec = fields.fill(spec);
    if (conversion == 'r') value = Value(repr(value, budget));
    if (conversion == 'a') value = Value(ascii(repr(value, budget)));
    if (conversion == 's') value = Value(to_text(value, budget));
    const bool markup = value.text() != nullptr && value.text()->is_markup();
    if (format.is_markup() && markup && !spec.empty()) throw Error("markup takes no format specification");
    Text piece = format_value(value, spec, budget);
    if (format.is_markup() && !markup) piece = escaped(piece);
    budget.alloc(piece.size());
    out.append(piece);
  }
  return out;
}

}  // namespace temper::jinja
