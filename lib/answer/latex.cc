#include "answer/latex.h"

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "answer/characters.h"

namespace temper {
namespace {

constexpr std::string_view kForeignText("\x1e", 1);
constexpr std::string_view kThinText("\x1f", 1);
constexpr std::string_view kApproxText("\x1d", 1);

// Commands without arguments. "" drops the command.
constexpr Spelling kCommands[] = {
    {"left", ""},        {"right", ""},       {"big", ""},          {"Big", ""},
    {"bigl", ""},        {"bigr", ""},        {"displaystyle", ""}, {"textstyle", ""},
    {"limits", ""},      {"quad", " "},       {"qquad", " "},       {"times", "*"},
    {"cdot", "*"},       {"ast", "*"},        {"div", "/"},         {"frac", "\\frac"},
    {"dfrac", "\\frac"}, {"tfrac", "\\frac"}, {"cfrac", "\\frac"},  {"overline", "\\overline"},
    {"circ", "°"},       {"degree", "°"},     {"percent", "%"},     {"textdollar", "$"},
    {"mathdollar", "$"}, {"pounds", "£"},     {"euro", "€"},        {"approx", kApproxText},
    {"Rightarrow", "="}, {"implies", "="},    {"rightarrow", "="},  {"to", "="},
};

// Commands whose argument is text or styled text: the braces go, the content stays.
constexpr std::string_view kTextCommands[] = {
    "textnormal", "text", "textbf",       "textit", "textrm", "mathrm", "mathbf", "mathit",
    "mathsf",     "mbox", "operatorname", "boxed",  "fbox",   "bm",     "emph",   "underline"};

// Characters outside ASCII.
constexpr Spelling kCharacterSpellings[] = {
    {"−", "-"},
    {"–", "-"},
    {"×", "*"},
    {"·", "*"},
    {"⋅", "*"},
    {"∗", "*"},
    {"÷", "/"},
    {"⁄", "/"},
    {"≈", kApproxText},
    {"→", "="},
    {"⇒", "="},
    {"％", "%"},
    {"\u2009", kThinText},
    {"\u202f", kThinText},
    {"\u00a0", kThinText},
    {"\u2008", kThinText},
    {"\u200a", kThinText},
    {"\u200b", ""},
    {"π", kForeignText},
    {"√", kForeignText},
    {"∞", kForeignText},
    {"±", kForeignText},
    {"≤", kForeignText},
    {"≥", kForeignText},
    {"…", kForeignText},
    {"₀", kForeignText},
    {"₁", kForeignText},
    {"₂", kForeignText},
    {"₃", kForeignText},
    {"₄", kForeignText},
    {"₅", kForeignText},
    {"₆", kForeignText},
    {"₇", kForeignText},
    {"₈", kForeignText},
    {"₉", kForeignText},
};

bool ascii_digit(char c) {
  return c >= '0' && c <= '9';
}

class Cleaner {
 public:
  explicit Cleaner(std::string_view text) : text_(text) { out_.reserve(text.size() + 16); }

  std::string run() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '\\')
        command();
      else if (static_cast<uint8_t>(c) >= 0x80)
        character();
      else
        ascii(c);
    }
    return std::move(out_);
  }

 private:
  bool next_is(std::string_view what) const { return text_.substr(at_, what.size()) == what; }

  void ascii(char c) {
    if (next_is("{,}")) {
      out_ += ',';
      at_ += 3;
    } else if (next_is("**")) {
      // A power in program text ("10**3"), else markdown's bold.
      const char after = at_ + 2 < text_.size() ? text_[at_ + 2] : ' ';
      if (!out_.empty() && (ascii_digit(out_.back()) || out_.back() == ')') &&
          (ascii_digit(after) || after == '(' || after == '-')) {
        out_ += '^';
      }
      at_ += 2;
    } else if (next_is("__")) {
      at_ += 2;
    } else if (next_is("^{\\circ}")) {
      out_ += "°";
      at_ += 8;
    } else if (next_is("^\\circ")) {
      at_ += 1;
    } else {
      if (c == '{') groups_.push_back(false);
      const bool text_group = c == '}' && !groups_.empty() && groups_.back();
      if (c == '}' && !groups_.empty()) groups_.pop_back();
      out_ += c == '~' || text_group || (static_cast<uint8_t>(c) < ' ' && c != '\n') ? ' ' : c;
      ++at_;
    }
  }

  void command() {
    size_t end = at_ + 1;
    while (end < text_.size() && ascii_letter(text_[end])) ++end;
    if (end == at_ + 1) return symbol_command();
    const std::string_view name = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end;
    for (const std::string_view known : kTextCommands) {
      if (name != known) continue;
      out_ += ' ';
      while (at_ < text_.size() && text_[at_] == ' ') ++at_;
      if (at_ < text_.size() && text_[at_] == '{') {
        groups_.push_back(true);
        ++at_;
      }
      return;
    }
    for (const auto& [from, to] : kCommands) {
      if (name == from) {
        out_ += to;
        return;
      }
    }
    out_ += kForeign;
  }

  void symbol_command() {
    const char c = at_ + 1 < text_.size() ? text_[at_ + 1] : '\\';
    if (c == '\\' && at_ + 2 < text_.size() &&
        ascii_letter(text_[at_ + 2])) {  // "\\frac", escaped once too often
      ++at_;
      return command();
    }
    at_ += 2;
    if (c == ',')
      out_ += kThin;
    else if (c == '$' || c == '%' || c == '#' || c == '&' || c == '_')
      out_ += c;
    else if (c == '{' || c == '}')
      out_ += kForeign;  // a set
    else if (c != '!')
      out_ += ' ';  // spaces, line breaks, \( \) \[ \]
    else {          // a negative space takes back those beside it: 32, \! 349
      while (!out_.empty() && out_.back() == ' ') out_.pop_back();
      while (at_ < text_.size() && text_[at_] == ' ') ++at_;
    }
  }

  void character() {
    if (superscripts()) return;
    if (spelled(kCharacterSpellings) || spelled(kVulgarFractions)) return;
    out_ += text_[at_++];
  }

  template <size_t N>
  bool spelled(const Spelling (&table)[N]) {
    for (const auto& [from, to] : table) {
      if (!next_is(from)) continue;
      out_ += to;
      at_ += from.size();
      return true;
    }
    return false;
  }

  bool superscripts() {
    std::string digits;
    if (next_is(kSuperscriptMinus)) {
      digits = "-";
      at_ += kSuperscriptMinus.size();
    }
    digits += digits_of_run(text_, at_, kSuperscripts);
    if (!digits.empty()) out_ += "^{" + digits + "}";
    return !digits.empty();
  }

  std::string_view text_;
  size_t at_ = 0;
  std::vector<bool> groups_;  // open braces: whether a text command opened them
  std::string out_;
};

}  // namespace

std::string plain_math(std::string_view text) {
  return Cleaner(text).run();
}

}  // namespace temper
