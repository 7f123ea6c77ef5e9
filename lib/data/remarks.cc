#include "data/remarks.h"

#include "base/error.h"

namespace temper {
namespace {

// Calls with each text of a message: its content, or the content's parts.
template <class F>
void each_text(const Json& message, F call) {
  if (!message.is_object() || !message.contains("content")) return;
  const Json& content = message["content"];
  if (content.is_string()) call(content.get_ref<const std::string&>());
  if (!content.is_array()) return;
  for (const Json& part : content) {
    if (part.is_object() && part.contains("text") && part["text"].is_string())
      call(part["text"].get_ref<const std::string&>());
  }
}

}  // namespace

SpelledOut spelled_out(const Record& record, const SpecialTokens& special,
                       const std::string& special_tokens) {
  SpelledOut out;
  const auto look = [&](const Json& value) {
    if (value.is_string()) {
      const auto& text = value.get_ref<const std::string&>();
      const bool parsed = special_tokens == "parse" || (special_tokens == "auto" && special.rendered(text));
      if (out.in_string.empty() && !parsed) out.in_string = special.find(text);
    }
    if (!value.is_array()) return;
    for (const Json& message : value) {
      each_text(message, [&](const std::string& text) {
        if (out.in_chat.empty()) out.in_chat = special.find(text);
      });
    }
  };
  for (const char* key : {"text", "prompt", "completion", "messages", "chosen", "rejected"}) {
    if (record.json.contains(key)) look(record.json[key]);
  }
  return out;
}

void Tally::add(const Record& record, const std::string& token) {
  if (count++ == 0) first = fmt::format("{}: \"{}\"", record.where(), token);
}

std::vector<std::string> remark_lines(const Tally& strings, const Tally& chats, size_t all) {
  std::vector<std::string> out;
  if (strings.count > 0) {
    out.push_back(
        fmt::format("{} of {} records spell out special tokens that stay letters ({}); special_tokens "
                    "\"parse\" reads them as tokens",
                    strings.count, all, strings.first));
  }
  if (chats.count > 0) {
    out.push_back(
        fmt::format("{} of {} records spell out special tokens in the words of a chat message ({}): "
                    "they stay letters, a chat's tokens come from its template",
                    chats.count, all, chats.first));
  }
  return out;
}

std::vector<std::string> RecordEncoder::remarks(const std::vector<Record>& records) const {
  if (settings_.special_tokens == "text") return {};  // as asked for
  Tally strings, chats;
  for (const Record& record : records) {
    const auto [in_string, in_chat] = spelled_out(record, special_, settings_.special_tokens);
    if (!in_string.empty()) strings.add(record, in_string);
    if (!in_chat.empty()) chats.add(record, in_chat);
  }
  return remark_lines(strings, chats, records.size());
}

}  // namespace temper
