#include "reward/answer.h"

#include <algorithm>
#include <cctype>

namespace temper {
namespace {

struct Mark {
  size_t at = 0;          // where the mark begins
  std::string_view slot;  // the text that it points at
  bool prose = false;     // "answer is": may be about something else
};

constexpr size_t npos = std::string_view::npos;
constexpr size_t kMaxSlot = 4096;

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
  return Mark{at, text.substr(at + 4, end - at - 4)};
}

std::optional<Mark> tag_mark(std::string_view text) {
  const size_t close = text.rfind("</answer>");
  if (close == npos) return std::nullopt;
  const size_t open = text.rfind("<answer>", close);
  if (open == npos) return std::nullopt;
  return Mark{open, text.substr(open + 8, close - open - 8)};
}

// The closed \boxed{} that begins last. One pass with the open braces on a stack, so unbalanced text costs no
// more.
std::optional<Mark> boxed_mark(std::string_view text) {
  struct Open {
    size_t mark, content;  // mark: npos for braces that no \boxed opened
  };
  std::vector<Open> open;
  std::optional<Mark> best;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\') {
      const bool boxed = text.substr(i, 6) == "\\boxed", fboxed = text.substr(i, 5) == "\\fbox";
      if (!boxed && !fboxed) {
        ++i;  // \{ and \} are characters, not braces
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
        best = Mark{top.mark, text.substr(top.content, i - top.content)};
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
    if (slot != npos) marks.push_back({i, sentence(text, slot), true});
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

std::optional<Number> read_answer(std::string_view text, const std::string& place, bool strict) {
  const auto spoken = after_thoughts(text);
  if (!spoken) return std::nullopt;
  if (place == "last") return read_last(*spoken);
  for (const Mark& mark : marks_at(*spoken, place)) {
    const std::string_view slot = mark.slot.substr(0, kMaxSlot);
    const bool boxed = spoken->substr(mark.at, 1) == "\\";
    const auto number = strict || boxed ? read_number(slot) : read_sentence(slot);
    // A mark made for answers is final; a sentence about an answer without a number in it is passed over.
    if (number || !mark.prose) return number;
  }
  return place == "auto" && !strict ? read_last(*spoken) : std::nullopt;
}

std::optional<Number> read_reference(std::string_view text) {
  // A solution says where its answer is; elsewhere it has other numbers and equations.
  std::optional<Mark> last;
  for (const auto& mark : {hash_mark(text), tag_mark(text), boxed_mark(text)}) {
    if (mark && (!last || mark->at > last->at)) last = mark;
  }
  if (last) return read_number(last->slot.substr(0, kMaxSlot));
  if (auto bare = read_number(text)) return bare;
  for (const Mark& mark : all_marks(text)) {
    if (const auto number = read_number(mark.slot.substr(0, kMaxSlot))) return number;
  }
  return std::nullopt;
}

}  // namespace temper
