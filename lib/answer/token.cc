#include "answer/token.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <utility>

#include "answer/characters.h"
#include "answer/commands.h"
#include "answer/expression.h"
#include "answer/measure.h"
#include "answer/number_context.h"

namespace temper {
namespace {

using namespace spelled;

constexpr size_t kMaxTokens = 2000;

template <size_t N>
bool among(const std::string_view (&list)[N], std::string_view name) {
  return std::find(std::begin(list), std::end(list), name) != std::end(list);
}
template <size_t N>
std::string_view spelling(const Spelling (&list)[N], std::string_view name) {
  for (const auto& [from, to] : list)
    if (from == name) return to;
  return {};
}

class Tokeniser {
 public:
  explicit Tokeniser(std::string_view text) : text_(text) {}

  bool run() {
    while (at_ < text_.size()) {
      if (out_.size() > kMaxTokens) return false;
      const char c = text_[at_];
      if (digit(c) || (c == '.' && digit(peek(1)))) {
        if (!numeral()) return false;
      } else if (c == '\\') {
        if (!command()) return false;
      } else if (static_cast<uint8_t>(c) >= 0x80) {
        if (!character()) return false;
      } else if (ascii_letter(c)) {
        word();
      } else {
        mark(c);
      }
    }
    return true;
  }

  std::vector<Token> take() {
    while (!out_.empty() && (out_.back().mark(".") || out_.back().mark(","))) out_.pop_back();
    out_.emplace_back();
    return std::move(out_);
  }

 private:
  using Kind = Token::Kind;

  char peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  bool next_is(std::string_view what) const { return text_.substr(at_, what.size()) == what; }

  void push(Kind kind, std::string_view text) {
    Token token;
    token.kind = kind;
    token.text = text;
    token.blank_before = blank_;
    blank_ = false;
    out_.push_back(std::move(token));
  }

  void mark(char c) {
    if (c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '$' || c == '~') {
      blank_ = true;
      ++at_;
      return;
    }
    for (const Spelling& two : {Spelling{"<=", "le"}, Spelling{">=", "ge"}, Spelling{"!=", "ne"}}) {
      if (!next_is(two.from)) continue;
      push(Kind::kCommand, two.to);
      at_ += 2;
      return;
    }
    if (next_is("**")) {
      // A power in program text, else markdown's bold.
      if (!out_.empty() && !blank_ && (ascii_letter(peek(2)) || digit(peek(2)) || peek(2) == '('))
        push(Kind::kMark, "^");
      at_ += 2;
      return;
    }
    if (c == '(' || c == '[') ++depth_;
    if (c == ')' || c == ']') --depth_;
    push(Kind::kMark, std::string_view(&c, 1));
    ++at_;
  }

  // A run of plain letters: a function, a word or a product of letters.
  void word() {
    size_t end = at_;
    while (end < text_.size() && ascii_letter(text_[end])) ++end;
    const std::string_view run = text_.substr(at_, end - at_);
    at_ = end;
    const std::string_view other = spelling(kCommandNames, run);
    const std::string_view name = other.empty() ? run : other;
    if (run.size() > 1 && (known_function(name) || among(kPlainCommands, name) || name == "log10" ||
                           run == "and" || run == "or"))
      return push(Kind::kCommand, name);
    if (run == "to") return push(Kind::kMark, ":");
    const bool behind_letter = !out_.empty() && out_.back().kind == Kind::kLetter;
    if (run == "in" && behind_letter) return push(Kind::kCommand, "in");  // not the inch
    const bool capitals =
        run.size() < 6 && std::all_of(run.begin(), run.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
    if (run.size() > 1 && !capitals && (run.size() > 3 || known_measure(run) || run == "am" || run == "pm"))
      return push(Kind::kText, run);
    for (const char& c : run) push(Kind::kLetter, std::string_view(&c, 1));
  }

  // The content of a group in braces at at_, or the one character there; moves behind it.
  std::string_view argument() {
    while (peek() == ' ') ++at_;
    if (peek() != '{') {
      const size_t begin = at_;
      at_ = std::min(at_ + 1, text_.size());
      return text_.substr(begin, at_ - begin);
    }
    int depth = 0;
    const size_t begin = at_ + 1;
    for (; at_ < text_.size(); ++at_) {
      if (text_[at_] == '\\') {
        ++at_;
        continue;
      }
      depth += text_[at_] == '{' ? 1 : text_[at_] == '}' ? -1 : 0;
      if (depth == 0) break;
    }
    const std::string_view out = text_.substr(begin, std::min(at_, text_.size()) - begin);
    at_ = std::min(at_ + 1, text_.size());
    return out;
  }

  void words(std::string_view content) {
    content = without_blanks(content);
    if (content.empty()) {
      blank_ = true;
    } else if (content == "and" || content == "or") {
      push(Kind::kCommand, content);
    } else if (content == "to") {  // 3 to 2
      push(Kind::kMark, ":");
    } else {
      std::string plain(content);
      std::replace(plain.begin(), plain.end(), '~', ' ');
      push(Kind::kText, plain);
    }
  }

  bool command() {
    size_t end = at_ + 1;
    while (end < text_.size() && ascii_letter(text_[end])) ++end;
    if (end == at_ + 1) return symbol();
    std::string_view name = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end;
    if (const std::string_view other = spelling(kCommandNames, name); !other.empty()) name = other;
    if (const std::string_view one = spelling(kMarkNames, name); !one.empty()) {
      push(Kind::kMark, one);
    } else if (among(kSkipped, name)) {
      if ((name == "left" || name == "right") && peek() == '.') ++at_;
      if (name == "hspace") argument();
      blank_ = true;
    } else if (among(kTexts, name)) {
      words(argument());
    } else if (among(kNames, name)) {
      named(argument());
    } else if (among(kVectors, name)) {
      const std::string_view content = without_blanks(argument());
      if (content.size() == 1 || (content.size() < 8 && content.substr(0, 1) == "\\"))
        push(Kind::kLetter, "vec " + std::string(content));
      else
        words(content);
    } else if (name == "mathbb" || name == "begin" || name == "end") {
      push(Kind::kCommand, std::string(name) + " " + std::string(without_blanks(argument())));
    } else {
      push(among(kGreek, name) ? Kind::kLetter : Kind::kCommand, name);
    }
    return true;
  }

  void named(std::string_view content) {
    content = without_blanks(content);
    if (content.size() == 1 && ascii_letter(content[0]))
      push(Kind::kLetter, content);
    else if (known_function(content))
      push(Kind::kCommand, content);
    else
      words(content);
  }

  bool symbol() {
    const char c = peek(1);
    // "\\frac", escaped once too often: a row ends in front of a command only with a space between, or in a
    // matrix.
    if (c == '\\' && ascii_letter(peek(2)) && text_.find("\\begin") == std::string_view::npos) {
      ++at_;
      return command();
    }
    at_ = std::min(at_ + 2, text_.size());
    if (c == '{' || c == '}') depth_ += c == '{' ? 1 : -1;
    if (c == '\\') {
      push(Kind::kCommand, "row");
      row_gap();
    }
    if (c == '\\') return true;
    if (c == '$')
      push(Kind::kText, "$");
    else if (c == '{' || c == '}')
      push(Kind::kCommand, std::string_view(&c, 1));
    else if (c == '%' || c == '&')
      push(Kind::kMark, std::string_view(&c, 1));
    else if (c == '|')
      push(Kind::kCommand, "norm");
    else
      blank_ = true;
    return true;
  }

  // "[1mm]" behind the end of a row.
  void row_gap() {
    const size_t close = peek() == '[' ? text_.find(']', at_) : std::string_view::npos;
    if (close == std::string_view::npos || close - at_ > 8 || close < at_ + 4) return;
    if (digit(peek(1)) && ascii_letter(text_[close - 1]) && ascii_letter(text_[close - 2])) at_ = close + 1;
  }

  bool spelled(std::string_view to) {
    Tokeniser inner(to);
    if (!inner.run()) return false;
    blank_ = blank_ || (inner.out_.empty() && !to.empty());
    for (Token& token : inner.out_) {
      token.blank_before = blank_;
      blank_ = false;
      out_.push_back(std::move(token));
    }
    return true;
  }

  bool character() {
    for (const auto& [from, to] : kCharacters) {
      if (!next_is(from)) continue;
      at_ += from.size();
      return spelled(to);
    }
    for (const auto& [from, to] : kVulgarFractions) {
      if (!next_is(from)) continue;
      at_ += from.size();
      return spelled(to);
    }
    if (next_is(kSuperscriptMinus)) {
      at_ += kSuperscriptMinus.size();
      return spelled("^{-" + digits_of_run(text_, at_, kSuperscripts) + "}");
    }
    if (const std::string power = digits_of_run(text_, at_, kSuperscripts); !power.empty())
      return spelled("^{" + power + "}");
    if (const std::string index = digits_of_run(text_, at_, kSubscripts); !index.empty())
      return spelled("_{" + index + "}");
    const size_t begin = at_;
    while (at_ < text_.size() && static_cast<uint8_t>(text_[at_]) >= 0x80) {
      if (at_ > begin && (static_cast<uint8_t>(text_[at_]) & 0xC0) != 0x80 && known_character()) break;
      ++at_;
    }
    push(Kind::kText, text_.substr(begin, at_ - begin));
    return true;
  }
  bool known_character() const {
    const auto here = [&](const Spelling& s) { return next_is(s.from); };
    const auto digit_here = [&](std::string_view digit) { return next_is(digit); };
    return std::any_of(std::begin(kCharacters), std::end(kCharacters), here) ||
           std::any_of(std::begin(kVulgarFractions), std::end(kVulgarFractions), here) ||
           std::any_of(std::begin(kSuperscripts), std::end(kSuperscripts), digit_here) ||
           std::any_of(std::begin(kSubscripts), std::end(kSubscripts), digit_here);
  }

  size_t digits_at(size_t at) const {
    size_t end = at;
    while (end < text_.size() && digit(text_[end])) ++end;
    return end - at;
  }
  // The length of what may stand between two groups of digits at `at`; 0: nothing of the kind.
  size_t group_mark(size_t at) const {
    if (text_.substr(at, 2) == ", ") {  // "32, \! 349"
      size_t end = text_.find_first_not_of(' ', at + 1);
      if (text_.substr(std::min(end, text_.size()), 2) != "\\!") return 0;
      for (end += 2; end < text_.size() && text_[end] == ' ';) ++end;
      return end - at;
    }
    for (const std::string_view mark : {"{,}\\!", "{,}", ",\\!", "\\,", "\u202f", "\u2009", ","}) {
      if (text_.substr(at, mark.size()) != mark) continue;
      size_t length = mark.size();
      if (mark == ",\\!")
        while (at + length < text_.size() && text_[at + length] == ' ') ++length;
      // A bare comma in parentheses parts coordinates.
      return mark == "," && depth_ > 0 ? 0 : length;
    }
    return 0;
  }

  bool numeral() {
    std::string whole, fraction, repeating;
    size_t next = at_ + digits_at(at_);
    whole = text_.substr(at_, next - at_);
    if (!whole.empty() && whole.size() <= 3 && whole[0] != '0') {
      std::string grouped = whole;
      size_t end = next;
      while (const size_t length = group_mark(end)) {
        const size_t count = digits_at(end + length);
        if (count != 3) {
          if (count > 0 && text_[end] == ',') grouped = whole, end = next;  // a list
          break;
        }
        grouped += text_.substr(end + length, 3);
        end += length + 3;
      }
      whole = grouped;
      next = end;
    }
    bool decimal = false;
    const auto overline = [&](size_t at) { return text_.substr(at, 10) == "\\overline{"; };
    if (next < text_.size() && text_[next] == '.' && (digits_at(next + 1) > 0 || overline(next + 1))) {
      decimal = true;
      const size_t count = digits_at(++next);
      fraction = text_.substr(next, count);
      next += count;
      if (overline(next)) {
        const size_t length = digits_at(next + 10);
        repeating = text_.substr(next + 10, length);
        next += 10 + length;
        if (length == 0 || length > 100 || fraction.size() > 100 || next >= text_.size() ||
            text_[next++] != '}')
          return false;
        decimal = false;
      }
    }
    auto value = repeating.empty() ? Rational::from_digits(whole, fraction)
                                   : Rational::repeating(whole, fraction, repeating);
    if (value && next < text_.size() && text_[next] == 'e') {
      const bool sign = next + 1 < text_.size() && (text_[next + 1] == '-' || text_[next + 1] == '+');
      const size_t count = digits_at(next + (sign ? 2 : 1));
      if (count > 0 && count < 5) {
        const std::string power(text_.substr(next + 1, count + (sign ? 1 : 0)));
        const auto ten = Rational::of(10).to_power(std::stoi(power));
        value = ten ? value->times(*ten) : std::nullopt;
        next += 1 + power.size();
      }
    }
    if (!value) return false;
    const bool digits_only = repeating.empty() && digit(text_[next - 1]);
    at_ = next;
    push(Kind::kNumeral, digits_only ? whole + (fraction.empty() ? "" : "." + fraction) : "");
    out_.back().value = *value;
    out_.back().decimal = decimal;
    return true;
  }

  std::string_view text_;
  size_t at_ = 0;
  int depth_ = 0;
  bool blank_ = false;
  std::vector<Token> out_;
};

}  // namespace

std::optional<std::vector<Token>> tokens_of(std::string_view text) {
  Tokeniser tokeniser(text);
  if (!tokeniser.run()) return std::nullopt;
  return tokeniser.take();
}

}  // namespace temper
