#include "jinja/lexer.h"

#include <utf8proc.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "base/error.h"

namespace temper::jinja {
namespace {

bool is_ascii_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_hex(char c) {
  return is_ascii_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

// All line ends become \n, and one at the very end goes.
std::string normalize_lines(const std::string& source) {
  std::string out;
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
    } else if (i + 1 >= source.size() || source[i + 1] != '\n') {
      out += '\n';
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(const std::string& source) : s_(normalize_lines(source)) {}

  std::vector<Token> run() {
    while (at_ < s_.size()) root();
    tokens_.push_back({TokenKind::kEnd, line_, ""});
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void fail(const std::string& why) const {
    throw Error(fmt::format("line {}: {}", line_, why));
  }

  bool sees(std::string_view part, size_t at) const {
    return std::string_view(s_).substr(at, part.size()) == part;
  }

  void advance(size_t to) {
    line_ += static_cast<int>(std::count(s_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         s_.begin() + static_cast<std::ptrdiff_t>(to), '\n'));
    at_ = to;
  }

  size_t after_spaces(size_t at) const {
    while (at < s_.size()) {
      size_t next = at;
      if (!is_space(decode_at(s_, next))) break;
      at = next;
    }
    return at;
  }

  void push(TokenKind kind, std::string text) {
    if (kind == TokenKind::kData && text.empty()) return;
    tokens_.push_back({kind, line_, std::move(text)});
  }

  // Template text before a tag whose sign is '-', '+' or 0. lstrip: a block or comment alone on its line so
  // far.
  void data(size_t end, char sign, bool lstrip) {
    std::string text = s_.substr(at_, end - at_);
    if (sign == '-') {
      text = strip(Text(text), nullptr, false, true).str();
    } else if (sign == 0 && lstrip) {
      const size_t last = text.rfind('\n');
      const size_t start = last == std::string::npos ? 0 : last + 1;
      const bool at_line_start = last != std::string::npos || line_starting_;
      if (at_line_start && strip(Text(text.substr(start)), nullptr, true, true).empty()) text.resize(start);
    }
    push(TokenKind::kData, std::move(text));
    advance(end);
  }

  char sign_at(size_t at) const { return at < s_.size() && (s_[at] == '-' || s_[at] == '+') ? s_[at] : '\0'; }

  void root() {
    size_t tag = at_;
    for (;; ++tag) {
      tag = s_.find('{', tag);
      if (tag == std::string::npos || tag + 1 >= s_.size()) return data(s_.size(), '+', false);
      const char kind = s_[tag + 1];
      if (kind == '{' || kind == '%' || kind == '#') break;
    }
    const char kind = s_[tag + 1];
    const char sign = sign_at(tag + 2);
    const size_t inside = tag + 2 + (sign != 0);
    data(tag, sign, kind != '{');
    if (kind == '#') return comment(inside);
    if (kind == '%' && raw(inside)) return;
    const bool print = kind == '{';
    push(print ? TokenKind::kPrintBegin : TokenKind::kBlockBegin, "");
    line_starting_ = false;
    advance(inside);
    expression(print);
  }

  // Past the end of a tag that starts at `close` with an optional sign: trim_blocks and '-' eat what follows.
  size_t after_close(size_t close, std::string_view mark, bool trim_line) const {
    const char sign = sign_at(close);
    size_t at = close + (sign != 0) + mark.size();
    if (sign == '-') return after_spaces(at);
    if (sign == 0 && trim_line && at < s_.size() && s_[at] == '\n') ++at;
    return at;
  }

  void leave(size_t end) {
    line_starting_ = end > at_ && s_[end - 1] == '\n';
    advance(end);
  }

  void comment(size_t inside) {
    size_t close = s_.find("#}", inside);
    if (close == std::string::npos) fail("Missing end of comment tag");
    if (close > inside && sign_at(close - 1) != 0) --close;
    leave(after_close(close, "#}", true));
  }

  // {% raw %}...{% endraw %}; false when the tag is another one.
  bool raw(size_t inside) {
    size_t at = after_spaces(inside);
    if (!sees("raw", at)) return false;
    at = after_spaces(at + 3);
    const bool dash = sees("-%}", at);
    if (!dash && !sees("%}", at)) return false;
    leave(dash ? after_spaces(at + 3) : at + 2);
    for (size_t tag = at_;; ++tag) {
      tag = s_.find("{%", tag);
      if (tag == std::string::npos) fail("Missing end of raw directive");
      const char sign = sign_at(tag + 2);
      size_t end = after_spaces(tag + 2 + (sign != 0));
      if (!sees("endraw", end)) continue;
      end = after_spaces(end + 6);
      if (!sees("%}", end + (sign_at(end) != 0))) continue;
      data(tag, sign, true);
      leave(after_close(end, "%}", true));
      return true;
    }
  }

  void expression(bool print) {
    const std::string_view mark = print ? "}}" : "%}";
    std::string open;  // the closing brackets that are due
    while (true) {
      advance(after_spaces(at_));
      if (at_ >= s_.size()) fail(print ? "a {{ is never closed" : "a {% is never closed");
      const char sign = sign_at(at_);
      if (open.empty() && sees(mark, at_ + (sign != 0)) && !(print && sign == '+')) {
        push(print ? TokenKind::kPrintEnd : TokenKind::kBlockEnd, "");
        return leave(after_close(at_, mark, !print));
      }
      const char c = s_[at_];
      if (is_ascii_digit(c)) {
        number();
      } else if (c == '"' || c == '\'') {
        string(c);
      } else if (!name()) {
        op(open);
      }
    }
  }

  // (\d+_)*\d+ from `at`; the same position when there is no digit.
  size_t digits(size_t at) const {
    while (at < s_.size() && is_ascii_digit(s_[at])) {
      ++at;
      if (at + 1 < s_.size() && s_[at] == '_' && is_ascii_digit(s_[at + 1])) ++at;
    }
    return at;
  }

  void number() {
    size_t end = digits(at_);
    bool is_float = false;
    if (at_ == 0 || s_[at_ - 1] != '.') {
      size_t after = end;
      if (after < s_.size() && s_[after] == '.' && digits(after + 1) > after + 1) {
        after = digits(after + 1);
        is_float = true;
      }
      if (after < s_.size() && (s_[after] == 'e' || s_[after] == 'E')) {
        const size_t power = after + 1 + (sign_at(after + 1) != 0);
        if (digits(power) > power) {
          after = digits(power);
          is_float = true;
        }
      }
      if (is_float) end = after;
    }
    int base = 10;
    size_t begin = at_;
    if (!is_float && s_[at_] == '0' && at_ + 2 < s_.size() && is_hex(s_[at_ + 2])) {
      const char x = static_cast<char>(s_[at_ + 1] | 0x20);
      base = x == 'x' ? 16 : x == 'o' ? 8 : x == 'b' ? 2 : 10;
      if (base != 10) {
        begin = end = at_ + 2;
        while (end < s_.size() && (is_hex(s_[end]) || s_[end] == '_')) ++end;
      }
    }
    if (!is_float && base == 10 && s_[begin] == '0') {  // 012 is 0 and 12
      end = begin + 1;
      while (end < s_.size() && (s_[end] == '0' || s_[end] == '_')) ++end;
    }
    std::string text = s_.substr(begin, end - begin);
    std::erase(text, '_');
    Token token{is_float ? TokenKind::kFloat : TokenKind::kInteger, line_, text};
    if (is_float) {
      token.number = std::strtod(text.c_str(), nullptr);
    } else if (std::from_chars(text.data(), text.data() + text.size(), token.integer, base).ec !=
               std::errc()) {
      fail(fmt::format("the number {} does not fit 64 bits", text));
    }
    tokens_.push_back(std::move(token));
    advance(end);
  }

  bool name() {
    size_t end = at_;
    while (end < s_.size()) {
      size_t next = end;
      const char32_t c = decode_at(s_, next);
      const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
      const bool word = c == '_' || (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) ||
                        (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO);
      if (!word) break;
      end = next;
    }
    if (end == at_) return false;
    push(TokenKind::kName, s_.substr(at_, end - at_));
    advance(end);
    return true;
  }

  void string(char quote) {
    std::string out;
    size_t at = at_ + 1;
    while (at < s_.size() && s_[at] != quote) {
      if (s_[at] == '\\') {
        at = escape(at + 1, out);
      } else {
        out += s_[at++];
      }
    }
    if (at >= s_.size()) fail("a string is never closed");
    push(TokenKind::kString, std::move(out));
    advance(at + 1);
  }

  // Python's escapes; unknown ones keep their backslash. `at` is behind the backslash.
  size_t escape(size_t at, std::string& out) {
    static constexpr std::string_view kFrom = "\\'\"abfnrtv", kTo = "\\'\"\a\b\f\n\r\t\v";
    if (at >= s_.size()) fail("a string is never closed");
    const char c = s_[at];
    if (c == '\n') return at + 1;
    if (const size_t i = kFrom.find(c); i != std::string::npos) {
      out += kTo[i];
      return at + 1;
    }
    size_t begin = at + 1, end = begin;
    int base = 16;
    const size_t wanted = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (wanted > 0) {
      while (end < s_.size() && end < begin + wanted && is_hex(s_[end])) ++end;
      if (end != begin + wanted) fail("truncated escape in a string");
    } else if (c >= '0' && c <= '7') {
      base = 8;
      end = begin = at;
      while (end < s_.size() && end < begin + 3 && s_[end] >= '0' && s_[end] <= '7') ++end;
    } else {
      out += '\\';
      return at;
    }
    uint32_t code = 0;
    std::from_chars(s_.data() + begin, s_.data() + end, code, base);
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) fail("an escape in a string is no character");
    append_utf8(out, code);
    return end;
  }

  void op(std::string& open) {
    static constexpr std::string_view kTwo[] = {"//", "**", "==", "!=", ">=", "<="};
    static constexpr std::string_view kOne = "+-/*%~[](){}><=.:|,;";
    const char c = s_[at_];
    size_t length = kOne.find(c) == std::string_view::npos ? 0 : 1;
    for (std::string_view two : kTwo) {
      if (sees(two, at_)) length = 2;
    }
    if (length == 0) {
      size_t end = at_;
      decode_at(s_, end);
      fail(fmt::format("unexpected character '{}'", s_.substr(at_, end - at_)));
    }
    if (c == '(') open += ')';
    if (c == '[') open += ']';
    if (c == '{') open += '}';
    if (c == ')' || c == ']' || c == '}') {
      if (open.empty()) fail(fmt::format("unexpected '{}'", c));
      if (open.back() != c) fail(fmt::format("unexpected '{}', expected '{}'", c, open.back()));
      open.pop_back();
    }
    push(TokenKind::kOperator, s_.substr(at_, length));
    advance(at_ + length);
  }

  const std::string s_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize_template(const std::string& source) {
  if (!valid_utf8(source)) throw Error("line 1: the template is not valid UTF-8");
  return Lexer(source).run();
}

}  // namespace temper::jinja
