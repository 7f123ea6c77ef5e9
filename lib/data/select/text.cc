#include "data/select/text.h"

#include "base/error.h"
#include "data/groups.h"
#include "jinja/text.h"

namespace temper {
namespace {

// A string, or the contents of messages; a list of these a line each.
void add_words(const Json& value, std::string& out) {
  const auto add = [&](const std::string& text) { out += (out.empty() ? "" : "\n") + text; };
  if (value.is_string()) add(value.get<std::string>());
  if (!value.is_array()) return;
  for (const Json& item : value) {
    if (item.is_object() && item.contains("content"))
      add_words(item["content"], out);
    else if (item.is_object() && item.contains("text"))
      add_words(item["text"], out);
    else
      add_words(item, out);
  }
}

bool is_word_character(char32_t c) {
  return c == U'_' || jinja::is_letter(c) || jinja::is_decimal(c) || jinja::is_digit(c) ||
         jinja::is_numeric(c);
}

}  // namespace

std::string record_text(const Record& record) {
  std::string out;
  for (const char* key : {"text", "messages", "prompt", "completion", "completions", "chosen", "rejected"}) {
    if (has_column(record.json, key)) add_words(record.json[key], out);
  }
  return out;
}

std::string prompt_words(const Record& record) {
  Json asked = record.json.value("prompt", record.json.value("text", Json()));
  if (!has_column(record.json, "prompt") && has_column(record.json, "messages")) {
    is_chat_column(record, "messages");  // throws for what are no messages
    asked = record.json["messages"];
    if (asked.is_array() && asked.back()["role"] == "assistant") asked.erase(asked.size() - 1);
  }
  std::string out;
  add_words(asked, out);
  return out;
}

std::string text_key(const std::string& text, const std::string& how) {
  if (how == "exact") return text;
  if (how != "folded") bug("texts compared by \"{}\"", how);
  std::string out;
  bool space = false;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = jinja::decode_at(text, at);
    if (jinja::is_space(c)) {
      space = true;
      continue;
    }
    if (space && !out.empty()) out += ' ';
    space = false;
    out += jinja::to_lower(c);
  }
  return out;
}

std::vector<std::string> punctuated_words(const std::string& text) {
  std::string lower;
  for (size_t at = 0; at < text.size();) lower += jinja::to_lower(jinja::decode_at(text, at));
  std::vector<std::string> out;
  enum { kSpace, kWord, kOther } before = kSpace;
  for (size_t at = 0; at < lower.size();) {
    const size_t begin = at;
    const char32_t c = jinja::decode_at(lower, at);
    const auto now = jinja::is_space(c) ? kSpace : is_word_character(c) ? kWord : kOther;
    if (now != kSpace && now != before) out.emplace_back();
    if (now != kSpace) out.back() += lower.substr(begin, at - begin);
    before = now;
  }
  return out;
}

std::set<std::string> word_ngrams(const std::vector<std::string>& words, int64_t n) {
  std::set<std::string> out;
  const size_t length = std::min(words.size(), static_cast<size_t>(n));
  for (size_t begin = 0; length > 0 && begin + length <= words.size(); ++begin) {
    std::string gram;
    for (size_t i = 0; i < length; ++i) gram += (i == 0 ? "" : " ") + words[begin + i];
    out.insert(std::move(gram));
  }
  return out;
}

}  // namespace temper
