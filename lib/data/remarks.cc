// What a look at all records finds worth telling before a run.
#include "base/error.h"
#include "data/records.h"

namespace temper {
namespace {

// Records of one kind, the first of them named.
struct Tally {
  size_t count = 0;
  std::string first;

  void add(const Record& record, const std::string& token) {
    if (count++ == 0) first = fmt::format("{}: \"{}\"", record.where(), token);
  }
};

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

std::vector<std::string> RecordEncoder::remarks(const std::vector<Record>& records) const {
  std::vector<std::string> out;
  if (settings_.special_tokens == "text") return out;  // as asked for
  Tally strings, chats;
  for (const Record& record : records) {
    std::string in_string, in_chat;
    const auto look = [&](const Json& value) {
      if (value.is_string()) {
        const auto& text = value.get_ref<const std::string&>();
        if (in_string.empty() && !parses(text)) in_string = special_.find(text);
      }
      if (!value.is_array()) return;
      for (const Json& message : value) {
        each_text(message, [&](const std::string& text) {
          if (in_chat.empty()) in_chat = special_.find(text);
        });
      }
    };
    for (const char* key : {"text", "prompt", "completion", "messages", "chosen", "rejected"}) {
      if (record.json.contains(key)) look(record.json[key]);
    }
    if (!in_string.empty()) strings.add(record, in_string);
    if (!in_chat.empty()) chats.add(record, in_chat);
  }
  if (strings.count > 0) {
    out.push_back(
        fmt::format("{} of {} records spell out special tokens that stay letters ({}); special_tokens "
                    "\"parse\" reads them as tokens",
                    strings.count, records.size(), strings.first));
  }
  if (chats.count > 0) {
    out.push_back(
        fmt::format("{} of {} records spell out special tokens in the words of a chat message ({}): "
                    "they stay letters, a chat's tokens come from its template",
                    chats.count, records.size(), chats.first));
  }
  return out;
}

}  // namespace temper
