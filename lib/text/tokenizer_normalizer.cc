#include "text/tokenizer_normalizer.h"

#include "base/error.h"
#include "text/tokenizer_regex.h"
#include "text/tokenizer_unicode.h"

namespace temper {
namespace {

void find_literal(std::string_view text, const std::string& literal, TextPattern::Matches& matches) {
  matches.clear();
  for (size_t at = text.find(literal); at != std::string_view::npos;
       at = text.find(literal, at + literal.size())) {
    matches.emplace_back(at, at + literal.size());
  }
}

std::string strip(const std::string& text, bool left, bool right, bool& at_start) {
  size_t begin = 0, end = text.size();
  while (left && begin < end) {
    size_t next = begin;
    if (!is_white_space(next_char(text, next))) break;
    begin = next;
  }
  while (right && end > begin) {
    size_t last = end;
    while ((static_cast<unsigned char>(text[--last]) & 0xC0) == 0x80) continue;
    size_t next = last;
    if (!is_white_space(next_char(text, next))) break;
    end = last;
  }
  if (begin > 0) at_start = false;
  return text.substr(begin, end - begin);
}

Normalizer unicode(NormalForm form) {
  return [form](std::string text, bool&) { return normalize_unicode(text, form); };
}

}  // namespace

TextPattern::TextPattern(const JsonPart& part) {
  const JsonPart pattern = part.part("pattern");
  if (pattern.has("Regex")) {
    regex_ = std::make_shared<Regex>(pattern.string("Regex"), pattern.where());
  } else if (pattern.has("String")) {
    literal_ = pattern.string("String");
    // An empty string matches before every character, which is a regular expression's affair.
    if (literal_.empty()) regex_ = std::make_shared<Regex>("", pattern.where());
  } else {
    user_error("{}: expected {{\"String\": ...}} or {{\"Regex\": ...}}", pattern.where());
  }
}

void TextPattern::find_all(std::string_view text, Matches& matches, RegexScratch& scratch) const {
  if (regex_) {
    regex_->find_all(text, matches, scratch);
  } else {
    find_literal(text, literal_, matches);
  }
}

bool TextPattern::is_single_character() const {
  return !regex_ && utf8_length(static_cast<unsigned char>(literal_[0])) == literal_.size();
}

std::string TextPattern::replace_all(std::string_view text, const std::string& content) const {
  Matches matches;
  RegexScratch scratch;
  find_all(text, matches, scratch);
  std::string out;
  out.reserve(text.size());
  size_t from = 0;
  for (const auto& [begin, end] : matches) {
    out.append(text.substr(from, begin - from)).append(content);
    from = end;
  }
  return out.append(text.substr(from));
}

Normalizer make_normalizer(const JsonPart& part) {
  const std::string type = part.string("type");
  if (type == "NFC") return unicode(NormalForm::kNfc);
  if (type == "NFD") return unicode(NormalForm::kNfd);
  if (type == "NFKC") return unicode(NormalForm::kNfkc);
  if (type == "NFKD") return unicode(NormalForm::kNfkd);
  if (type == "Lowercase") {
    return [](std::string text, bool&) { return lowercase_unicode(text); };
  }
  if (type == "Prepend") {
    return [prefix = part.string("prepend")](std::string text, bool&) {
      return text.empty() ? text : prefix + text;
    };
  }
  if (type == "Replace") {
    return [pattern = TextPattern(part), content = part.string("content")](std::string text, bool&) {
      return pattern.replace_all(text, content);
    };
  }
  if (type == "Strip") {
    return [left = part.boolean("strip_left"), right = part.boolean("strip_right")](
               std::string text, bool& at_start) { return strip(text, left, right, at_start); };
  }
  if (type == "ByteLevel") {
    return [](std::string text, bool&) {
      std::string out;
      for (const char c : text) append_utf8(out, byte_to_char(static_cast<unsigned char>(c)));
      return out;
    };
  }
  if (type == "Sequence") {
    std::vector<Normalizer> steps;
    for (const JsonPart& step : part.parts("normalizers")) steps.push_back(make_normalizer(step));
    return [steps](std::string text, bool& at_start) {
      for (const Normalizer& step : steps) text = step(std::move(text), at_start);
      return text;
    };
  }
  user_error(
      "{}: the normalizer type \"{}\" is not supported (NFC, NFD, NFKC, NFKD, Lowercase, Prepend, Replace, "
      "Strip, "
      "ByteLevel, Sequence are)",
      part.where(), type);
}

}  // namespace temper
