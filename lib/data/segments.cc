#include "data/segments.h"

#include <algorithm>

#include "base/error.h"
#include "jinja/text.h"

namespace temper {
namespace {

bool is_blank(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    if (!jinja::is_space(jinja::decode_at(text, at))) return false;
  }
  return true;
}

std::string_view stripped(std::string_view text) {
  constexpr const char* kWhite = " \t\r\n\v\f";
  const size_t begin = text.find_first_not_of(kWhite);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kWhite) + 1 - begin);
}

bool is_one_of(char32_t c, std::u32string_view set) {
  return set.find(c) != std::u32string_view::npos;
}

// Where the pieces end that the rule makes, the text's end among them.
std::vector<size_t> line_ends(const std::string& text) {
  std::vector<size_t> out;
  for (size_t at = text.find('\n'); at != std::string::npos && at + 1 < text.size();
       at = text.find('\n', at + 1))
    out.push_back(at + 1);
  out.push_back(text.size());
  return out;
}

std::vector<size_t> sentence_ends(const std::string& text) {
  std::vector<size_t> out;
  bool ended = false;    // a sentence, with what closes it
  bool borders = false;  // the white space that `at` is in
  size_t white = std::string::npos;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const char32_t c = jinja::decode_at(text, at);
    if (jinja::is_space(c)) {
      if (white == std::string::npos) {
        white = begin;
        borders = ended;
        ended = false;
      }
      borders = borders || c == U'\n';
      continue;
    }
    if (white != std::string::npos && white > 0 && borders) out.push_back(white);
    white = std::string::npos;
    ended =
        is_one_of(c, U".!?\u2026\u3002\uff01\uff1f") || (ended && is_one_of(c, U"\"')]}\u2019\u201d\u300d"));
  }
  out.push_back(text.size());
  return out;
}

}  // namespace

const std::vector<std::string>& text_splits() {
  static const std::vector<std::string> splits = {"sentence", "line"};
  return splits;
}

std::vector<std::string> split_text(const std::string& text, const std::string& how) {
  if (how != "line" && how != "sentence") bug("a text split by \"{}\"", how);
  std::vector<std::string> out;
  if (text.empty()) return out;
  size_t begin = 0;
  for (const size_t end : how == "line" ? line_ends(text) : sentence_ends(text)) {
    const std::string piece = text.substr(begin, end - begin);
    begin = end;
    if (!out.empty() && (is_blank(piece) || is_blank(out.back())))
      out.back() += piece;
    else
      out.push_back(piece);
  }
  return out;
}

std::vector<int64_t> tokens_at(const Tokenizer& tokenizer, const std::vector<int64_t>& ids,
                               const std::vector<int64_t>& ends) {
  // By whole prefixes: a stream holds back what may still change, and would say so a token late.
  const std::string text = tokenizer.decode(ids, false);
  std::vector<int64_t> out, prefix;
  for (size_t t = 0; t < ids.size() && out.size() < ends.size(); ++t) {
    prefix.push_back(ids[t]);
    const std::string so_far = tokenizer.decode(prefix, false);
    const auto there = [&](int64_t end) {
      const auto size = static_cast<size_t>(end);
      return size <= so_far.size() && text.compare(0, size, so_far, 0, size) == 0;
    };
    while (out.size() < ends.size() && there(ends[out.size()])) out.push_back(static_cast<int64_t>(t));
  }
  out.resize(ends.size(), static_cast<int64_t>(ids.size()) - 1);
  return out;
}

std::vector<int64_t> segment_ends(const Tokenizer& tokenizer, const std::vector<int64_t>& ids,
                                  const std::vector<std::string>& segments, const std::string& where) {
  std::string said;
  for (const std::string& segment : segments) said += segment;
  const std::string text = tokenizer.decode(ids, false);
  // A text that was cut may end in half a character.
  std::string_view found = stripped(text), wanted = stripped(said);
  if (found.ends_with("\xEF\xBF\xBD")) found.remove_suffix(3);
  const size_t shared = std::min(found.size(), wanted.size());
  if (found.substr(0, shared) != wanted.substr(0, shared)) {
    user_error(
        "{}: the texts of the segments, put together, are not what is learnt: \"{}\" instead of \"{}\"",
        where, wanted.substr(0, 40), found.substr(0, 40));
  }
  const auto begin = [](std::string_view whole, std::string_view part) {
    return part.empty() ? int64_t{0} : static_cast<int64_t>(part.data() - whole.data());
  };
  int64_t end = begin(text, found) - begin(said, wanted);
  std::vector<int64_t> ends;
  for (const std::string& segment : segments) {
    end += static_cast<int64_t>(segment.size());
    ends.push_back(std::max<int64_t>(end, 0));
  }
  return tokens_at(tokenizer, ids, ends);
}

}  // namespace temper
