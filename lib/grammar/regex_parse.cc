#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "grammar/regex_node.h"
#include "text/tokenizer_unicode.h"

namespace temper {
namespace {

using Node = RegexTree::Node;
using NodePtr = std::unique_ptr<Node>;

CharSet digits() {
  return {{'0', '9'}};
}
CharSet words() {
  return {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
}
CharSet spaces() {
  return {{'\t', '\r'}, {' ', ' '}};
}

class Parser {
 public:
  Parser(const std::string& pattern, const std::string& where) : text_(pattern), where_(where) {
    if (!is_valid_utf8(pattern)) user_error("{}: the regular expression is not valid UTF-8", where);
  }

  std::vector<RegexTree::Alternative> parse() {
    std::vector<RegexTree::Alternative> out;
    do {
      RegexTree::Alternative a;
      while (take("^")) a.from_start = true;
      a.node = sequence(0);
      while (take("$")) a.to_end = true;
      if (!done() && peek() == ')') fail("')' closes no group; write \\) for the character");
      if (!done() && peek() != '|') {
        if (a.to_end) --at_;
        anchor_inside();
      }
      out.push_back(std::move(a));
    } while (take("|"));
    return out;
  }

 private:
  static constexpr int64_t kMaxCount = 100'000;
  static constexpr int kMaxDepth = 200;

  bool done() const { return at_ == text_.size(); }
  char peek() const { return text_[at_]; }
  bool sees(std::string_view what) const { return std::string_view(text_).substr(at_).starts_with(what); }
  bool take(std::string_view what) {
    if (!sees(what)) return false;
    at_ += what.size();
    return true;
  }
  template <class... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    user_error("{}: the regular expression \"{}\", at byte {}: {}", where_, shown(), at_ + 1,
               fmt::format(format, std::forward<Args>(args)...));
  }
  std::string shown() const {
    return text_.size() <= 80 ? text_ : replace_invalid_utf8(text_.substr(0, 77)) + "...";
  }
  [[noreturn]] void anchor_inside() const {
    fail(
        "'{}' stands inside; ^ and $ may stand at the ends of the whole expression or of one of its "
        "outermost alternatives",
        peek());
  }

  NodePtr either(int depth) {
    if (depth > kMaxDepth) fail("more than {} groups inside each other", kMaxDepth);
    auto out = std::make_unique<Node>();
    out->kind = Node::kEither;
    do out->parts.push_back(sequence(depth));
    while (take("|"));
    return out;
  }

  // Up to a '|', a ')', an anchor or the end.
  NodePtr sequence(int depth) {
    auto out = std::make_unique<Node>();
    while (!done() && peek() != '|' && peek() != ')' && peek() != '^' && peek() != '$')
      out->parts.push_back(repeated(atom(depth)));
    if (depth > 0 && !done() && (peek() == '^' || peek() == '$')) anchor_inside();
    return out;
  }

  NodePtr repeated(NodePtr one) {
    int64_t least = 0, most = 0;
    if (!quantifier(least, most)) return one;
    if (!done() && peek() == '+') fail("possessive repetitions are not offered");
    take("?");  // lazy: the same texts
    const size_t behind = at_;
    int64_t a, b;
    if (quantifier(a, b)) {
      at_ = behind;
      fail("a repetition directly behind another one; put the first in a group");
    }
    auto out = std::make_unique<Node>();
    out->kind = Node::kRepeat;
    out->least = least, out->most = most;
    out->parts.push_back(std::move(one));
    return out;
  }

  // Whether a repetition stands here; a '{' that begins none is a character.
  bool quantifier(int64_t& least, int64_t& most) {
    if (take("*")) return least = 0, most = -1, true;
    if (take("+")) return least = 1, most = -1, true;
    if (take("?")) return least = 0, most = 1, true;
    const size_t begin = at_;
    if (!take("{")) return false;
    const auto number = [&]() -> int64_t {
      int64_t value = -1;
      while (!done() && peek() >= '0' && peek() <= '9') {
        value = 10 * std::max<int64_t>(value, 0) + (peek() - '0');
        if (value > kMaxCount) fail("a count above {}", kMaxCount);
        ++at_;
      }
      return value;
    };
    least = number();
    const bool comma = take(",");
    most = comma ? number() : least;
    if (!take("}") || (least < 0 && most < 0)) {
      at_ = begin;
      return false;
    }
    if (least < 0) least = 0;
    if (most >= 0 && most < least) fail("the counts {} to {} are the wrong way round", least, most);
    return true;
  }

  NodePtr set_node(CharSet set) {
    auto out = std::make_unique<Node>();
    out->kind = Node::kSet;
    out->set = std::move(set);
    return out;
  }
  NodePtr one(char32_t c) { return set_node({{c, c}}); }

  NodePtr atom(int depth) {
    const char c = peek();
    if (c == '*' || c == '+' || c == '?') fail("'{}' repeats nothing; write \\{} for the character", c, c);
    int64_t least, most;
    if (const size_t begin = at_; c == '{' && quantifier(least, most)) {
      at_ = begin;
      fail("a repetition of nothing; write \\{{ for the character");
    }
    if (take("(")) return group(depth);
    if (take("[")) return set_node(bracket());
    if (take(".")) return set_node(CharSet{{'\n', '\n'}}.complement());
    if (take("\\")) {
      CharSet set;
      if (class_escape(set)) return set_node(std::move(set));
      return one(character_escape(false));
    }
    return one(next_char(text_, at_));
  }

  NodePtr group(int depth) {
    const size_t open = at_ - 1;
    if (take("?")) {
      if (take(":")) {
      } else if (sees("=") || sees("!") || sees("<=") || sees("<!")) {
        fail("look-around is not offered: it is not decided by the text so far");
      } else if (sees("P=")) {
        fail("references to groups are not offered: what they match is not regular");
      } else if (take("P<") || take("<")) {
        const size_t end = text_.find('>', at_);
        if (end == std::string::npos) fail("a group's name without its '>'");
        at_ = end + 1;
      } else {
        fail("the group (?{} is not offered; (?: and (?<name> are", done() ? ' ' : peek());
      }
    }
    NodePtr out = either(depth + 1);
    if (!take(")")) {
      at_ = open;
      fail("the group is never closed");
    }
    return out;
  }

  // \d and its kin, behind the backslash.
  bool class_escape(CharSet& set) {
    if (done()) fail("a backslash at the end");
    const char c = peek();
    const char lower = static_cast<char>(c | 0x20);
    if (lower != 'd' && lower != 'w' && lower != 's') return false;
    ++at_;
    set = lower == 'd' ? digits() : lower == 'w' ? words() : spaces();
    if (c != lower) set = set.complement();
    return true;
  }

  // The character that an escape stands for, behind the backslash.
  char32_t character_escape(bool in_class) {
    const char c = peek();
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'), digit = c >= '0' && c <= '9';
    if (!letter && !digit) return next_char(text_, at_);
    ++at_;
    switch (c) {
      case 't':
        return '\t';
      case 'n':
        return '\n';
      case 'r':
        return '\r';
      case 'f':
        return '\f';
      case 'v':
        return '\v';
      case 'x':
        return hex(2);
      case 'u': {
        if (!take("{")) return hex(4);
        const char32_t value = hex(0);
        if (!take("}")) fail("\\u{{ without its }}");
        return value;
      }
      case '0':
        if (done() || peek() < '0' || peek() > '9') return 0;
        break;
      case 'b':
        if (in_class) return '\b';
        break;
      default:
        break;
    }
    --at_;
    if (digit) fail("\\{}: references to groups are not offered: what they match is not regular", c);
    if (c == 'b' || c == 'B') fail("\\{}: word boundaries are not offered", c);
    if (c == 'p' || c == 'P')
      fail("\\{}: properties of characters are not offered; write a class of ranges", c);
    fail(
        "\\{} is no escape that is offered (\\d \\w \\s \\D \\W \\S \\t \\n \\r \\f \\v \\0 \\xHH \\uHHHH, "
        "or a sign)",
        c);
  }

  // So many hexadecimal digits, or with 0 up to six.
  char32_t hex(int count) {
    char32_t value = 0;
    int read = 0;
    for (; read < (count > 0 ? count : 6) && !done(); ++read, ++at_) {
      const char c = peek(), lower = static_cast<char>(c | 0x20);
      if (c >= '0' && c <= '9')
        value = 16 * value + static_cast<char32_t>(c - '0');
      else if (lower >= 'a' && lower <= 'f')
        value = 16 * value + static_cast<char32_t>(lower - 'a' + 10);
      else
        break;
    }
    if (count > 0 ? read < count : read == 0) fail("too few hexadecimal digits");
    if (value > CharSet::kLastChar || (value >= 0xD800 && value <= 0xDFFF))
      fail("no character has this number");
    return value;
  }

  // A class, behind its '['.
  CharSet bracket() {
    const size_t open = at_ - 1;
    const bool negated = take("^");
    if (sees("]")) fail("']' directly behind '['; write \\] for the character");
    CharSet set;
    while (!sees("]")) {
      if (done()) {
        at_ = open;
        fail("the class is never closed");
      }
      if (sees("[:") || sees("[.") || sees("[="))
        fail("POSIX classes are not offered; write \\[ for the character");
      CharSet of_escape;
      const auto item = [&]() -> std::optional<char32_t> {
        if (done()) fail("the class is never closed");
        if (!take("\\")) return next_char(text_, at_);
        if (class_escape(of_escape)) return std::nullopt;
        return character_escape(true);
      };
      const auto first = item();
      if (!first) {
        set.add(of_escape);
        continue;
      }
      char32_t last = *first;
      if (sees("-") && !sees("-]") && at_ + 1 < text_.size()) {
        take("-");
        const auto end = item();
        if (!end) fail("a range to a class; write \\- for the character");
        last = *end;
        if (last < *first) fail("a range the wrong way round");
      }
      set.add(*first, last);
    }
    take("]");
    return negated ? set.complement() : set;
  }

  const std::string& text_;
  const std::string& where_;
  size_t at_ = 0;
};

}  // namespace

std::vector<RegexTree::Alternative> parse_regex(const std::string& pattern, const std::string& where) {
  return Parser(pattern, where).parse();
}

}  // namespace temper
