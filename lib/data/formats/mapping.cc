// Columns and messages under names of the user's.
#include "base/error.h"
#include "data/formats/parts.h"

namespace temper {

using namespace formats;

void ColumnNames::fields(FieldVisitor& v) {
  v.field("prompt", prompt, {.help = "the column that holds the prompt, such as \"question\""});
  v.field("completion", completion, {.help = "the answer to learn, such as \"answer\""});
  v.field("messages", messages, {.help = "the whole chat"});
  v.field("chosen", chosen, {.help = "the better of two answers"});
  v.field("rejected", rejected, {.help = "the worse of two answers"});
  v.field("label", label, {.help = "whether the completion is a good one: true or false, 1 or 0"});
  v.field("system", system, {.help = "text that becomes the system's message of a chat"});
  v.field("tools", tools, {.help = "the functions that a chat may call, a list or its JSON"});
}

std::vector<std::pair<std::string, std::string>> ColumnNames::given() const {
  std::vector<std::pair<std::string, std::string>> out;
  for (const auto& [name, column] : {std::pair{"prompt", &prompt},
                                     {"completion", &completion},
                                     {"messages", &messages},
                                     {"chosen", &chosen},
                                     {"rejected", &rejected},
                                     {"label", &label},
                                     {"system", &system},
                                     {"tools", &tools}}) {
    if (!column->empty()) out.emplace_back(name, *column);
  }
  return out;
}

void TagNames::fields(FieldVisitor& v) {
  v.field("role", role, {.help = "a message's key that says who speaks, such as \"from\""});
  v.field("content", content, {.help = "... and the key of what is said, such as \"value\""});
  v.field("user", user, {.help = "what the user is called, such as \"human\""});
  v.field("assistant", assistant, {.help = "what the assistant is called, such as \"gpt\""});
  v.field("system", system, {.help = "what the system is called"});
  v.field("observation", observation, {.help = "what the answer of a tool is called"});
  v.field("function", function, {.help = "what a message is called that is a call of a function as JSON"});
}

bool TagNames::any() const {
  for (const std::string* tag : {&role, &content, &user, &assistant, &system, &observation, &function}) {
    if (!tag->empty()) return true;
  }
  return false;
}

namespace {

// A label that is text, as tables have it.
void read_label(Json& record) {
  if (!has_text(record, "label")) return;
  const std::string label = record["label"];
  if (label == "true" || label == "True" || label == "TRUE" || label == "1") record["label"] = true;
  if (label == "false" || label == "False" || label == "FALSE" || label == "0") record["label"] = false;
}

constexpr const char* kChats[] = {"prompt", "completion", "messages", "chosen", "rejected"};

// Text of a prompt and of its answers as messages.
void make_chat(Json& record) {
  if (!has_text(record, "prompt")) return;
  record["prompt"] = said("user", record["prompt"]);
  for (const char* answer : {"completion", "chosen", "rejected"}) {
    if (has_text(record, answer)) record[answer] = said("assistant", record[answer]);
  }
}

}  // namespace

Json mapped(const Record& record, const RecordFormat& format) {
  Record out = record;
  for (const auto& [name, column] : format.columns.given()) {
    const bool may_lack = name == "system" || name == "tools";
    if (!has_column(record.json, column)) {
      if (may_lack) continue;
      user_error("{}: has no column \"{}\", which data.columns.{} names; found {}", record.where(), column,
                 name, keys_of(record.json));
    }
    out.json[name] = record.json[column];
  }
  read_label(out.json);
  if (format.tags.any()) {
    for (const char* chat : kChats) {
      if (has_column(out.json, chat) && out.json[chat].is_structured())
        out.json[chat] = messages_of(out, chat, format.tags);
    }
  }
  if (format.columns.system.empty()) return std::move(out.json);
  const std::string system = optional_text(out, "system");
  out.json.erase("system");
  if (system.empty()) return std::move(out.json);
  make_chat(out.json);
  for (const char* chat : {"messages", "prompt"}) {
    if (!has_list(out.json, chat)) continue;
    out.json[chat] = with_system(system, out.json[chat]);
    return std::move(out.json);
  }
  user_error("{}: data.columns.system needs a prompt or messages to put the system's message before",
             record.where());
}

}  // namespace temper
