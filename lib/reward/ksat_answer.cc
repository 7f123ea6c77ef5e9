#include "reward/ksat_answer.h"

#include <algorithm>
#include <cctype>
#include <unordered_map>
#include <utility>

#include "answer/place.h"

namespace temper {
namespace {

constexpr size_t npos = std::string::npos;

struct Lexeme {
  std::string text;    // in lower case
  bool word = false;   // else one sign
  bool glued = false;  // nothing stands before it
};
using Sentence = std::vector<Lexeme>;

bool is_word_byte(unsigned char c) {
  return std::isalnum(c) != 0 || c >= 0x80;
}

// Signs of formulas as those of the keyboard.
std::string plain(std::string_view text) {
  static const std::vector<std::pair<std::string_view, std::string_view>> kSigns = {
      {"¬", "~"},         {"∧", " & "},        {"∨", " or "},
      {"||", " or "},     {"→", "->"},         {"⇒", "=>"},
      {"↦", "->"},        {"⊤", " true "},     {"⊥", " false "},
      {"−", "-"},         {"“", "\""},         {"”", "\""},
      {"’", "'"},         {"₀", "0"},          {"₁", "1"},
      {"₂", "2"},         {"₃", "3"},          {"₄", "4"},
      {"₅", "5"},         {"₆", "6"},          {"₇", "7"},
      {"₈", "8"},         {"₉", "9"},          {"\\neg", " ~"},
      {"\\lnot", " ~"},   {"\\land", " & "},   {"\\wedge", " & "},
      {"\\lor", " or "},  {"\\vee", " or "},   {"\\rightarrow", "->"},
      {"\\mapsto", "->"}, {"\\top", " true "}, {"\\bot", " false "},
      {"\\text", ""},     {"\\mathrm", ""},    {"\\to", "->"},
      {"\\quad", " "},    {"\\\\", "\n"}};
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const std::string_view rest = text.substr(i);
    const bool sign = static_cast<unsigned char>(rest[0]) >= 0x80 || rest[0] == '\\' || rest[0] == '|';
    const auto found = std::find_if(kSigns.begin(), kSigns.end(),
                                    [&](const auto& s) { return sign && rest.starts_with(s.first); });
    // The index of x_1 and x_{1}.
    const size_t digit = rest.starts_with("_{") ? 2 : 1;
    if (found != kSigns.end()) {
      out += found->second;
      i += found->first.size();
    } else if (rest[0] == '_' && rest.size() > digit &&
               std::isdigit(static_cast<unsigned char>(rest[digit]))) {
      i += digit;
      while (i < text.size() && std::isdigit(static_cast<unsigned char>(text[i]))) out += text[i++];
      if (digit == 2 && i < text.size() && text[i] == '}') ++i;
    } else {
      out += text[i++];
    }
  }
  return out;
}

// Sentences end at lines and at points; a ! right before a word negates it.
std::vector<Sentence> sentences(const std::string& text) {
  std::vector<Sentence> out(1);
  bool glued = false;
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (is_word_byte(static_cast<unsigned char>(c)) || c == '_') {
      size_t end = i;
      while (end < text.size() && (is_word_byte(static_cast<unsigned char>(text[end])) || text[end] == '_' ||
                                   (text[end] == '\'' && end + 1 < text.size() && end > i &&
                                    std::isalpha(static_cast<unsigned char>(text[end + 1])) != 0)))
        ++end;
      Lexeme word{text.substr(i, end - i), true, glued};
      for (char& letter : word.text)
        letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
      out.back().push_back(std::move(word));
      i = end;
      glued = true;
      continue;
    }
    const bool negates =
        c == '!' && i + 1 < text.size() && is_word_byte(static_cast<unsigned char>(text[i + 1]));
    const bool ends = c == '\n' || c == '.' || c == ';' || c == '?' || (c == '!' && !negates);
    if (ends && !out.back().empty()) out.emplace_back();
    const bool space = std::isspace(static_cast<unsigned char>(c)) != 0;
    if (!ends && !space) out.back().push_back({std::string(1, c), false, glued});
    glued = !space;
    ++i;
  }
  return out;
}

bool one_of(const std::string& text, std::initializer_list<std::string_view> list) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

class Reader {
 public:
  Reader(const std::vector<std::string>& names, const std::vector<std::string>& states)
      : names_(names.size()) {
    for (size_t v = 0; v < names.size(); ++v) {
      const auto lexemes = sentences(plain(names[v])).front();
      if (!lexemes.empty()) variable_.emplace(lexemes.front().text, v);
    }
    for (const std::string& state : states) states_.push_back(sentences(plain(state)).front());
  }

  // marked: the text is an answer and nothing else.
  std::optional<KsatAnswer> read(std::string_view text, bool marked) {
    answer_ = {false, CnfValues(names_, 0)};
    said_ = false;
    for (const Sentence& sentence : sentences(plain(text))) read_sentence(sentence, marked);
    return said_ ? std::optional(answer_) : std::nullopt;
  }

 private:
  struct Literal {
    size_t variable;
    bool value;
  };

  void say(size_t variable, bool value) {
    if (answer_.unsatisfiable) answer_ = {false, CnfValues(names_, 0)};
    answer_.values[variable] = value ? 1 : -1;
    said_ = true;
  }
  void claim() {
    answer_ = {true, CnfValues(names_, 0)};
    said_ = true;
  }

  static bool words_at(const Sentence& s, size_t i, std::initializer_list<std::string_view> words) {
    for (const std::string_view word : words)
      if (i >= s.size() || s[i++].text != word) return false;
    return true;
  }
  static bool claims(const Sentence& s, size_t i) {
    const bool denied = i > 0 && one_of(s[i - 1].text, {"not", "isn't"});
    return (one_of(s[i].text, {"unsatisfiable", "unsat"}) && !denied) ||
           words_at(s, i, {"not", "satisfiable"}) || words_at(s, i, {"isn't", "satisfiable"}) ||
           words_at(s, i, {"cannot", "be", "satisfied"}) || words_at(s, i, {"can't", "be", "satisfied"}) ||
           words_at(s, i, {"can", "not", "be", "satisfied"}) || words_at(s, i, {"no", "solution"}) ||
           words_at(s, i, {"no", "solutions"}) || words_at(s, i, {"no", "satisfying", "assignment"}) ||
           words_at(s, i, {"no", "satisfying", "assignments"});
  }

  // A truth value at `i`, which moves behind it. Single letters and digits only where something says that a
  // value comes.
  std::optional<bool> value_at(const Sentence& s, size_t& i, bool letters) const {
    if (i >= s.size()) return std::nullopt;
    for (size_t state = 0; state < states_.size() && state < 2; ++state) {
      const Sentence& words = states_[state];
      const bool here = !words.empty() && i + words.size() <= s.size() &&
                        std::equal(words.begin(), words.end(), s.begin() + static_cast<std::ptrdiff_t>(i),
                                   [](const Lexeme& a, const Lexeme& b) { return a.text == b.text; });
      if (!here) continue;
      i += words.size();
      return state == 0;
    }
    const std::string& word = s[i].text;
    const bool yes = one_of(word, {"true", "yes"}) || (letters && one_of(word, {"t", "1", "y"}));
    const bool no = one_of(word, {"false", "no"}) || (letters && one_of(word, {"f", "0", "n"}));
    if (!yes && !no) return std::nullopt;
    ++i;
    return yes;
  }

  // The value that is given to what stands before `i`; nullopt, with i where it was: none.
  std::optional<bool> given_at(const Sentence& s, size_t& i) const {
    size_t at = i;
    bool letters = false, negated = false;
    for (; at < s.size(); ++at) {
      if (const auto value = value_at(s, at, letters)) {
        i = at;
        return *value != negated;
      }
      const std::string& text = s[at].text;
      if (one_of(text, {":", "=", ">", "|", "is", "are", "be", "must", "should", "will", "to", "as", "equals",
                        "set", "assigned"}))
        letters = true;
      else if (text == "not")
        negated = !negated;
      else if (!one_of(text, {"\"", "'", "`", "*", "-", "(", "[", "{", "}", ")", "$", "the", "value"}))
        return std::nullopt;
    }
    return std::nullopt;
  }

  static bool separates(const Lexeme& l) {
    return l.word ? l.text == "and"
                  : one_of(l.text,
                           {",", "&", "(", ")", "[", "]", "{", "}", "\"", "'", "`", "*", "$", "\\", "="});
  }

  void read_sentence(const Sentence& s, bool marked) {
    for (const Lexeme& l : s)
      if (one_of(l.text, {"or", "either", "if", "unless", "whether", "neither", "nor"})) return;
    if (read_tuples(s)) return;
    bool given = false;
    std::vector<Literal> open;  // named, with nothing but separators since
    for (size_t i = 0; i < s.size();) {
      if (claims(s, i)) {
        claim();
        given = true;
        ++i;
        continue;
      }
      const auto named = s[i].word ? variable_.find(s[i].text) : variable_.end();
      if (named == variable_.end()) {
        if (!separates(s[i]) && !negates(s, i)) open.clear();
        ++i;
        continue;
      }
      open.push_back({named->second, !(i > 0 && negates(s, i - 1))});
      ++i;
      const auto value = given_at(s, i);
      if (!value) continue;
      for (const Literal& literal : open) say(literal.variable, literal.value == *value);
      open.clear();
      given = true;
    }
    if (!given) read_list(s, marked);
  }

  // Whether the lexeme negates the name right behind it. A - may also begin a line of a list.
  static bool negates(const Sentence& s, size_t i) {
    if (s[i].text == "-") return i + 1 < s.size() && s[i + 1].glued;
    return one_of(s[i].text, {"~", "!", "not"});
  }

  // "(x1, x2) = (T, F)"
  bool read_tuples(const Sentence& s) {
    std::vector<size_t> named;
    std::vector<bool> values;
    bool equals = false;
    for (size_t i = 0; i < s.size();) {
      const auto found = s[i].word ? variable_.find(s[i].text) : variable_.end();
      if (found != variable_.end() && !equals) {
        named.push_back(found->second);
        ++i;
      } else if (one_of(s[i].text, {"=", ":"}) && !named.empty()) {
        equals = true;
        ++i;
      } else if (const auto value = equals ? value_at(s, i, true) : std::nullopt) {
        values.push_back(*value);
      } else if (named.empty() || separates(s[i])) {
        ++i;
      } else {
        return false;
      }
    }
    if (values.size() < 2 || values.size() != named.size()) return false;
    for (size_t n = 0; n < named.size(); ++n) say(named[n], values[n]);
    return true;
  }

  // "x1, ¬x2", "true: x1, x3" or "(T, F, T)", behind a label that says that it is an answer.
  void read_list(const Sentence& s, bool marked) {
    size_t begin = 0;
    for (size_t i = 0; i < s.size(); ++i)
      if (one_of(s[i].text, {":", "="})) begin = i + 1;
    std::optional<bool> label_value;
    bool told = marked && begin == 0;
    for (size_t i = 0; i < begin;) {
      if (const auto value = value_at(s, i, false)) {
        label_value = value;
        told = true;
      } else {
        told = told || one_of(s[i].text, {"answer", "solution", "assignment", "values", "model", "result"});
        ++i;
      }
    }
    std::vector<Literal> literals;
    std::vector<bool> values;
    for (size_t i = begin; i < s.size();) {
      const auto named = s[i].word ? variable_.find(s[i].text) : variable_.end();
      if (named != variable_.end()) {
        const bool negated = i > 0 && i > begin && negates(s, i - 1);
        literals.push_back({named->second, negated != label_value.value_or(true)});
        told = told || negated;
        ++i;
      } else if (const auto value = value_at(s, i, true)) {
        values.push_back(*value);
      } else if (separates(s[i]) || negates(s, i)) {
        ++i;
      } else {
        return;
      }
    }
    if (!told) return;
    if (values.empty())
      for (const Literal& literal : literals) say(literal.variable, literal.value);
    if (literals.empty() && values.size() == names_ && names_ > 1)
      for (size_t v = 0; v < names_; ++v) say(v, values[v]);
  }

  size_t names_;
  std::unordered_map<std::string, size_t> variable_;
  std::vector<Sentence> states_;
  KsatAnswer answer_;
  bool said_ = false;
};

// Where the last "answer:", "answer is" or "answer =" ends; npos: nowhere.
size_t behind_answer_word(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  size_t best = npos;
  for (const std::string_view phrase : {"answer:", "answer is", "answer =", "answer**:"}) {
    const size_t at = lower.rfind(phrase);
    if (at != npos && (best == npos || at + phrase.size() > best)) best = at + phrase.size();
  }
  return best;
}

}  // namespace

std::optional<KsatAnswer> read_ksat_answer(std::string_view text, const std::vector<std::string>& names,
                                           const std::vector<std::string>& states) {
  const size_t thought = text.rfind("</think>");
  if (thought == npos && text.find("<think>") != npos) return std::nullopt;  // thoughts that never end
  if (thought != npos) text = text.substr(thought + 8);
  Reader reader(names, states);
  for (const char* place : {"tag", "hash", "boxed"}) {
    auto marked = find_answer(text, place);
    // What is behind #### may go over several lines.
    if (marked && std::string_view(place) == "hash")
      marked = std::string(text.substr(text.rfind("####") + 4));
    if (!marked) continue;
    if (auto answer = reader.read(*marked, true)) return answer;
  }
  if (const size_t behind = behind_answer_word(text); behind != npos)
    if (auto answer = reader.read(text.substr(behind), true)) return answer;
  return reader.read(text, false);
}

}  // namespace temper
