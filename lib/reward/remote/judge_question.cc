#include "reward/remote/judge_question.h"

#include <algorithm>
#include <cctype>

#include "base/error.h"
#include "base/json.h"
#include "reward/columns.h"

namespace temper {
namespace {

bool name_begins(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) != 0;
}
bool in_name(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.';
}

std::string content_of(const Json& message) {
  const auto content = message.is_object() ? message.find("content") : message.end();
  if (!message.is_object() || content == message.end()) return "";
  return content->is_string() ? content->get<std::string>() : dump_line(*content);
}

// The content of a chat's message, and before each "role: " when there are several.
std::string messages_text(const Json& messages) {
  if (messages.size() == 1) return content_of(messages[0]);
  std::string out;
  for (const Json& message : messages) {
    const std::string role = message.is_object() && message.contains("role") && message["role"].is_string()
                                 ? message["role"].get<std::string>()
                                 : "";
    out += (out.empty() ? "" : "\n\n") + role + ": " + content_of(message);
  }
  return out;
}

}  // namespace

QuestionTemplate::QuestionTemplate(const std::string& text) {
  std::string plain;
  for (size_t i = 0; i < text.size();) {
    size_t end = i + 1;
    if (text[i] == '{' && end < text.size() && name_begins(text[end]))
      while (end < text.size() && in_name(text[end])) ++end;
    if (text[i] != '{' || end == i + 1 || end == text.size() || text[end] != '}') {
      plain += text[i++];
      continue;
    }
    parts_.push_back({false, std::move(plain)});
    plain.clear();
    parts_.push_back({true, text.substr(i + 1, end - i - 1)});
    i = end + 1;
  }
  parts_.push_back({false, std::move(plain)});
}

std::string QuestionTemplate::fill(const std::function<std::string(const std::string&)>& value) const {
  std::string out;
  for (const Part& part : parts_) out += part.name ? value(part.text) : part.text;
  return out;
}

bool QuestionTemplate::names(const std::string& name) const {
  return std::any_of(parts_.begin(), parts_.end(),
                     [&](const Part& part) { return part.name && part.text == name; });
}

std::string column_text(const Json* columns, const std::string& column, const std::string& where) {
  if (!has_column(columns, column)) {
    std::string have;
    if (columns != nullptr && columns->is_object())
      for (const auto& [key, value] : columns->items()) have += (have.empty() ? "" : ", ") + key;
    user_error("{}: the data has no column \"{}\"; the record has: {}", where, column,
               have.empty() ? "none" : have);
  }
  const Json& value = column_value(columns, column, "judge");
  return value.is_string() ? value.get<std::string>() : dump_line(value);
}

std::string prompt_text(const RewardItem& item) {
  const Json* columns = item.columns;
  if (!has_column(columns, "prompt")) return item.prompt;
  const Json& prompt = column_value(columns, "prompt", "judge");
  if (prompt.is_string()) return prompt.get<std::string>();
  return prompt.is_array() && !prompt.empty() ? messages_text(prompt) : item.prompt;
}

std::string conversation_text(const RewardItem& item) {
  return item.conversation != nullptr ? messages_text(*item.conversation) : item.completion;
}

}  // namespace temper
