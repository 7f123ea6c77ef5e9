// Chats as ShareGPT and OpenAI's fine-tuning have them.
#include "base/error.h"
#include "data/formats/parts.h"

namespace temper::formats {
namespace {

// The column that holds a ShareGPT chat; null: there is none. Messages under a name of OpenAI's are its own
// only where they are spelled its way.
const char* conversation_key(const Json& record) {
  for (const char* key : {"conversations", "conversation"}) {
    if (has_list_of(record, key, "from") || has_list_of(record, key, "role")) return key;
  }
  return has_list_of(record, "messages", "from") ? "messages" : nullptr;
}

}  // namespace

bool fits_sharegpt(const Json& record) {
  return conversation_key(record) != nullptr && !has_column(record, "prompt");
}

std::optional<Json> from_sharegpt(const Record& record) {
  const char* key = conversation_key(record.json);
  if (key == nullptr) bug("{}: no ShareGPT chat", record.where());
  Json made = chat_record(record, with_system(optional_text(record, "system"), messages_of(record, key, {})),
                          TagNames());
  if (Json tools = tools_of(record, "tools"); !tools.is_null()) made["tools"] = std::move(tools);
  return with_columns(std::move(made), record.json,
                      {"conversations", "conversation", "messages", "system", "tools"});
}

bool fits_openai(const Json& record) {
  return has_list_of(record, "messages", "role") && !has_column(record, "prompt") &&
         !has_column(record, "chosen");
}

std::optional<Json> from_openai(const Record& record) {
  Json out = record.json;
  // The names that calls had before they were tools.
  if (has_column(out, "functions")) {
    if (!has_column(out, "tools")) out["tools"] = tools_of(record, "functions");
    out.erase("functions");
  }
  for (Json& turn : out["messages"]) {
    if (!turn.is_object()) continue;  // record_kind says what is wrong
    if (turn.value("role", Json()) == "function") turn["role"] = "tool";
    if (!has_column(turn, "function_call")) continue;
    turn["tool_calls"] = Json::array({{{"type", "function"}, {"function", turn["function_call"]}}});
    turn.erase("function_call");
  }
  return out;
}

bool fits_openai_preference(const Json& record) {
  return has_column(record, "input") && record["input"].is_object() &&
         has_column(record["input"], "messages") && has_column(record, "preferred_output") &&
         has_column(record, "non_preferred_output");
}

std::optional<Json> from_openai_preference(const Record& record) {
  const Record input{record.json["input"], record.file, record.line};
  Json made = {{"prompt", messages_of(input, "messages", {})},
               {"chosen", messages_of(record, "preferred_output", {})},
               {"rejected", messages_of(record, "non_preferred_output", {})}};
  if (Json tools = tools_of(input, "tools"); !tools.is_null()) made["tools"] = std::move(tools);
  return with_columns(std::move(made), record.json, {"input", "preferred_output", "non_preferred_output"});
}

}  // namespace temper::formats
