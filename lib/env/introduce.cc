#include "env/introduce.h"

#include "base/error.h"

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
  auto* introduced = dynamic_cast<Introduced*>(&source);
  if (introduced != nullptr) introduced->meet(tokenizer, chat);
  if (const Json tools = source.tools(); !tools.is_null()) settings.template_extra["tools"] = tools;
  const std::string text = introduced == nullptr ? "" : introduced->system();
  if (text.empty()) return;
  for (std::vector<Record>* some : records) {
    for (Record& record : *some) say_first(record, text);
  }
}

std::string check_records(const EnvironmentSource& source, const std::vector<Record>& records,
                          const std::string& what) {
  size_t bad = 0;
  std::string first;
  for (const Record& record : records) {
    const auto why = source.check(record);
    if (why && bad++ == 0) first = record.where() + ": " + *why;
  }
  if (bad == 0) return "";
  return fmt::format(
      "{}: {} of {} prompts begin conversations that the environment cannot judge; the first, {}", what, bad,
      records.size(), first);
}

}  // namespace temper
