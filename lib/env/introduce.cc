// What an environment says of itself in prompts.
#include "base/error.h"
#include "env/environment.h"

namespace temper {
namespace {

void say_first(Record& record, const std::string& text) {
  const bool chat = record_kind(record) == RecordKind::kMessages;
  if (!chat && !has_column(record.json, "prompt"))
    user_error("{}: a conversation needs \"prompt\" or \"messages\"", record.where());
  Json& prompt = record.json[chat ? "messages" : "prompt"];
  if (prompt.is_string()) {
    prompt = text + "\n\n" + prompt.get<std::string>();
    return;
  }
  Json& first = prompt.front();
  if (first["role"] != "system") {
    prompt.insert(prompt.begin(), Json{{"role", "system"}, {"content", text}});
  } else if (first["content"].is_string()) {
    first["content"] = text + "\n\n" + first["content"].get<std::string>();
  } else {
    first["content"].insert(first["content"].begin(), Json{{"type", "text"}, {"text", text + "\n\n"}});
  }
}

}  // namespace

void introduce(EnvironmentSource& source, const Tokenizer& tokenizer, const ChatTemplate* chat,
               EncodeSettings& settings, const std::vector<std::vector<Record>*>& records) {
  source.meet(tokenizer, chat);
  if (const Json tools = source.tools(); !tools.is_null()) settings.template_extra["tools"] = tools;
  const std::string text = source.system();
  if (text.empty()) return;
  for (std::vector<Record>* some : records) {
    for (Record& record : *some) say_first(record, text);
  }
}

}  // namespace temper
