#include "answer/place.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "answer/same_answer.h"
#include "answer/value.h"

namespace temper {
namespace {

struct Mark {
  size_t at = 0;          // where the mark begins
  std::string_view slot;  // the text that it points at
  std::string several;    // of a box with others right before it: what all of them hold, with commas between
  bool prose = false;     // "answer is": may be about something else
};

constexpr size_t npos = std::string_view::npos;
constexpr size_t kMaxSlot = 4096;
constexpr size_t kShort = 200;  // a text that may be nothing but an answer

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_space(char c) {
  return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}
bool is_letter(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) != 0;
}

bool starts_with_any_case(std::string_view text, std::string_view lower) {
  return text.size() >= lower.size() &&
         std::equal(lower.begin(), lower.end(), text.begin(),
                    [](char a, char b) { return a == std::tolower(static_cast<unsigned char>(b)); });
}

// From `at` to the end of the line, or of the next line that says something when this one says nothing; a
// sentence end behind a digit closes it too.
std::string_view sentence(std::string_view text, size_t at) {
  bool said = false, digits = false;
  size_t i = at;
  for (; i < text.size() && i - at < kMaxSlot; ++i) {
    const char c = text[i];
    if (c == '\n' && said) break;
    const bool ends = c == '.' || c == '!' || c == '?';
    if (ends && digits && (i + 1 == text.size() || is_space(text[i + 1]))) break;
    if (is_digit(c)) digits = true;
    if (std::isalnum(static_cast<unsigned char>(c))) said = true;
  }
  return text.substr(at, i - at);
}

std::optional<Mark> hash_mark(std::string_view text) {
  const size_t at = text.rfind("####");
  if (at == npos) return std::nullopt;
  const size_t end = std::min(text.find('\n', at), text.size());
  return Mark{.at = at, .slot = text.substr(at + 4, end - at - 4)};
}

std::optional<Mark> tag_mark(std::string_view text) {
  const size_t close = text.rfind("</answer>");
  if (close == npos) return std::nullopt;
  const size_t open = text.rfind("<answer>", close);
  if (open == npos) return std::nullopt;
  return Mark{.at = open, .slot = text.substr(open + 8, close - open - 8)};
}

// Whether only commas, "and", "or", spaces and signs of formulas stand there.
bool joins_boxes(std::string_view between) {
  if (between.size() > 60) return false;
  std::string words(between);
  for (const std::string_view space : {"\\quad", "\\qquad", "\\text{", "\\mbox{", "\\textrm{", "\\"}) {
    for (size_t at = words.find(space); at != npos; at = words.find(space)) words.erase(at, space.size());
  }
  const auto nothing = [](char c) { return c == '$' || c == ',' || c == ';' || c == '}' || is_space(c); };
  words.erase(std::remove_if(words.begin(), words.end(), nothing), words.end());
  return words.empty() || words == "and" || words == "or";
}

// The closed \boxed{} that begins last, with those right before it. One pass with the open braces on a stack,
// so unbalanced text costs no more.
std::optional<Mark> boxed_mark(std::string_view text) {
  struct Open {
    size_t mark, content;  // mark: npos for braces that no \boxed opened
  };
  std::vector<Open> open;
  std::optional<Mark> best;
  std::string run;  // of boxes that belong together
  size_t run_end = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\') {
      const bool boxed = text.substr(i, 6) == "\\boxed", fboxed = text.substr(i, 5) == "\\fbox";
      if (!boxed && !fboxed) {
        if (text.substr(i + 1, 6) == "\\boxed") continue;  // "\\boxed", escaped once too often
        ++i;                                               // \{ and \} are characters, not braces
        continue;
      }
      size_t brace = i + (boxed ? 6 : 5);
      while (brace < text.size() && text[brace] == ' ') ++brace;
      if (brace < text.size() && text[brace] == '{') {
        open.push_back({i, brace + 1});
        i = brace;
      }
    } else if (text[i] == '{') {
      open.push_back({npos, 0});
    } else if (text[i] == '}' && !open.empty()) {
      const Open top = open.back();
      open.pop_back();
      if (top.mark != npos && (!best || top.mark > best->at)) {
        const bool joined =
            best && run_end <= top.mark && joins_boxes(text.substr(run_end, top.mark - run_end));
        const std::string_view content = text.substr(top.content, i - top.content);
        run = (joined ? run + ", " : std::string()).append(content.substr(0, kMaxSlot));
        if (run.size() > kMaxSlot) run.clear();
        run_end = i + 1;
        best = Mark{.at = top.mark, .slot = content};
        if (joined) best->several = run;
      }
    }
  }
  return best;
}

// Where the words begin that "answer ..." at `at` speaks of; npos when it is no such phrase.
size_t prose_slot(std::string_view text, size_t at) {
  constexpr size_t kReach = 80;  // between "answer" and its verb
  const bool line_start = at == 0 || text[at - 1] == '\n';
  if (line_start && text.substr(at, 2) == "A:") return at + 2;
  if (!starts_with_any_case(text.substr(at), "answer")) return npos;
  for (size_t i = at + 6; i < std::min(text.size(), at + 6 + kReach); ++i) {
    const std::string_view rest = text.substr(i);
    const bool ends = rest[0] == '\n' || ((rest[0] == '.' || rest[0] == '?' || rest[0] == '!') &&
                                          rest.size() > 1 && is_space(rest[1]));
    if (ends) return npos;
    size_t verb = 0;
    if (rest[0] == ':' || rest[0] == '=') verb = 1;
    for (const std::string_view word : {" is ", " is:", " is\n", " was "}) {
      if (starts_with_any_case(rest, word)) verb = word.size() - 1;
    }
    if (verb == 0) continue;
    size_t slot = i + verb;
    while (slot < text.size() && (text[slot] == ':' || text[slot] == '=')) ++slot;
    return slot;
  }
  return npos;
}

// "answer is 5", "Answer: 5", "the answer to 2 + 3 is 5", and lines "A: 5"; the last few.
std::vector<Mark> prose_marks(std::string_view text) {
  constexpr size_t kMost = 16;
  std::vector<Mark> marks;
  for (size_t i = text.size(); i-- > 0 && marks.size() < kMost;) {
    if ((text[i] != 'a' && text[i] != 'A') || (i > 0 && is_letter(text[i - 1]))) continue;
    const size_t slot = prose_slot(text, i);
    if (slot != npos) marks.push_back({.at = i, .slot = sentence(text, slot), .prose = true});
  }
  return marks;
}

// What follows the thoughts; nullopt when they never end.
std::optional<std::string_view> after_thoughts(std::string_view text) {
  const size_t close = text.rfind("</think>");
  if (close != npos) return text.substr(close + 8);
  if (text.find("<think>") != npos) return std::nullopt;
  return text;
}

// All marks of "auto", the one that counts first: later ones first, a mark inside another's slot before it.
std::vector<Mark> all_marks(std::string_view text) {
  std::vector<Mark> marks = prose_marks(text);
  for (const auto& mark : {hash_mark(text), tag_mark(text), boxed_mark(text)}) {
    if (mark) marks.push_back(*mark);
  }
  std::stable_sort(marks.begin(), marks.end(), [](const Mark& a, const Mark& b) { return a.at > b.at; });
  return marks;
}

std::vector<Mark> marks_at(std::string_view text, const std::string& place) {
  if (place == "auto") return all_marks(text);
  const auto mark = place == "hash" ? hash_mark(text) : place == "boxed" ? boxed_mark(text) : tag_mark(text);
  return mark ? std::vector<Mark>{*mark} : std::vector<Mark>{};
}

struct Formula {
  std::string_view text;
  size_t begin = 0, end = 0;  // with its delimiters
};
// The last formula, between $ and $, \( and \) or \[ and \]; empty when there is none.
Formula last_formula(std::string_view text) {
  Formula best;
  for (const auto& [open, close] : {std::pair("\\(", "\\)"), std::pair("\\[", "\\]"), std::pair("$", "$")}) {
    const std::string_view opens(open), closes(close);
    const size_t end = text.rfind(closes);
    if (end == npos || end == 0) continue;
    size_t last = end;
    while (last > 0 && text[last - 1] == '$') --last;  // of $$
    const size_t begin = last == 0 ? npos : text.rfind(opens, last - 1);
    if (begin == npos || begin + opens.size() >= last || end + closes.size() <= best.end) continue;
    best = {text.substr(begin + opens.size(), last - begin - opens.size()), begin, end + closes.size()};
  }
  return best;
}

bool only_closes(std::string_view rest) {
  return rest.find_first_not_of(" \n.$*") == npos;
}
bool reads_as_formula(const std::optional<FinalAnswer>& answer) {
  return answer && answer->kind != AnswerKind::kText;
}

// The whole slot as an answer; one too long for any is text.
std::optional<FinalAnswer> read_slot(const Mark& mark) {
  const std::string_view slot = mark.several.empty() ? mark.slot : std::string_view(mark.several);
  if (slot.size() <= kMaxSlot) {
    auto answer = read_value(slot);
    if (mark.several.empty() || !answer || answer->kind != AnswerKind::kList) return answer;
    // "\boxed{x + 1} or \boxed{1 + x}" is one answer twice.
    const auto& parts = answer->parts;
    const auto like_first = [&](const FinalAnswer& part) {
      return same_answer(parts[0], part, 0) == std::optional(true);
    };
    return std::all_of(parts.begin(), parts.end(), like_first) ? std::optional(parts.back()) : answer;
  }
  FinalAnswer out;
  out.text = slot;
  return out;
}

std::optional<FinalAnswer> from_number(std::optional<Number> number) {
  if (!number) return std::nullopt;
  FinalAnswer out;
  out.kind = AnswerKind::kNumber;
  out.worked_out = number->worked_out;
  out.number = std::move(number);
  return out;
}

std::optional<FinalAnswer> read_in_sentence(const Mark& mark, Looking looking) {
  auto whole = read_slot(mark);
  if (reads_as_formula(whole)) return whole;
  const std::string_view slot = mark.slot.substr(0, kMaxSlot);
  // "the answer is $2x$, since ..." opens with it; of "the value of $f(x)$ is 19" a number counts before
  // f(x).
  const size_t said = slot.find_first_not_of(" \n*");
  const Formula formula = last_formula(slot);
  auto read = formula.end > 0 ? read_value(formula.text) : std::nullopt;
  const bool other_kind = reads_as_formula(read) && read->kind != AnswerKind::kNumber;
  if (other_kind && formula.begin == said) return read;
  if (looking == Looking::kAny && other_kind) return read;
  if (auto number = from_number(read_sentence(slot))) return number;
  return looking == Looking::kAny || !mark.prose ? whole : std::nullopt;
}

// What counts in a text without a mark: the text where it is nothing but an answer, a formula that ends it,
// the last number; and where a formula may count, the last one.
std::optional<FinalAnswer> fallback(std::string_view text, Looking looking) {
  if (text.size() <= kShort) {
    auto whole = read_value(text);
    if (looking == Looking::kAny ? reads_as_formula(whole) || (whole && whole->plain)
                                 : whole && whole->kind == AnswerKind::kNumber)
      return whole;
  }
  const Formula formula = last_formula(text);
  auto read = formula.end > 0 ? read_value(formula.text.substr(0, kMaxSlot)) : std::nullopt;
  const bool counts = looking == Looking::kAny || only_closes(text.substr(formula.end));
  if (reads_as_formula(read) && counts) return read;
  return from_number(read_last(text));
}

}  // namespace

const std::vector<std::string>& answer_places() {
  static const std::vector<std::string> places = {"auto", "hash", "boxed", "tag", "last"};
  return places;
}

std::optional<std::string> find_answer(std::string_view text, const std::string& place) {
  const auto spoken = after_thoughts(text);
  if (!spoken) return std::nullopt;
  const std::vector<Mark> marks = marks_at(*spoken, place);
  return marks.empty() ? std::nullopt : std::optional<std::string>(marks.front().slot);
}

std::optional<FinalAnswer> read_answer(std::string_view text, const std::string& place, bool strict,
                                       Looking looking) {
  const auto spoken = after_thoughts(text);
  if (!spoken) return std::nullopt;
  if (place == "last" && looking == Looking::kNumbers) return from_number(read_last(*spoken));
  if (place == "last") return fallback(*spoken, looking);
  for (const Mark& mark : marks_at(*spoken, place)) {
    const bool whole = strict || spoken->substr(mark.at, 1) == "\\";
    auto answer = whole ? read_slot(mark) : read_in_sentence(mark, looking);
    const bool counts = answer && (looking == Looking::kAny || answer->kind != AnswerKind::kText);
    // A mark made for answers is final; a sentence about an answer without one in it is passed over.
    if (counts || !mark.prose) return answer;
  }
  return place == "auto" && !strict ? fallback(*spoken, looking) : std::nullopt;
}

std::optional<FinalAnswer> read_reference(std::string_view text) {
  // A solution says where its answer is; elsewhere it has other numbers and equations.
  std::optional<Mark> last;
  for (const auto& mark : {hash_mark(text), tag_mark(text), boxed_mark(text)}) {
    if (mark && (!last || mark->at > last->at)) last = mark;
  }
  if (last) return read_slot(*last);
  auto bare = read_slot({.slot = text});
  if (!bare || bare->kind != AnswerKind::kText) return bare;
  for (const Mark& mark : all_marks(text)) {
    auto answer = read_slot(mark);
    if (answer && answer->kind != AnswerKind::kText) return answer;
  }
  return bare;
}

}  // namespace temper
