// What the formats share: messages, and records put together.
#pragma once

#include <initializer_list>
#include <string>

#include "base/json.h"
#include "data/formats/format.h"
#include "data/records.h"

namespace temper::formats {

// One message, and a chat of one.
Json message(const char* role, const Json& content);
Json said(const char* role, const Json& content);

// Whether the record has the column and it is a string, a list.
bool has_text(const Json& record, const char* key);
bool has_list(const Json& record, const char* key);
// ... and the list's first item is an object that has the key.
bool has_list_of(const Json& record, const char* key, const char* item_key);

// The column's text. Throws UserError at the record's place, saying that `format` needs it.
const std::string& text_of(const Record& record, const char* key, const char* format);
// Text that is there and not empty; "": it is not there, null or empty. Throws UserError for another type.
std::string optional_text(const Record& record, const char* key);

// `made` in front, and behind it the record's columns but for those that were used.
Json with_columns(Json made, const Json& record, std::initializer_list<const char*> used);

// "the keys a, b, c", at most 200 letters of it, or "no keys".
std::string keys_of(const Json& record);

// One message of another tool as {"role", "content", further keys}. Who speaks is under tags.role, else
// "from", else "role"; what is said under tags.content, else "value", else "content". Roles are those of the
// tags, of ShareGPT (human, gpt, system, function_call, observation) and of OpenAI (user, assistant, system,
// developer, tool). A function_call's JSON, {"name", "arguments"} or a list of them, becomes tool_calls, an
// observation a message of role "tool". `where` names it in errors. Throws UserError.
Json message_of(const Json& message, const TagNames& tags, const std::string& where);
// A list of messages, or one message, each message_of().
Json messages_of(const Record& record, const char* key, const TagNames& tags);

// Tools as OpenAI has them, {"type": "function", "function": {...}}, from a list, or its JSON as a string, of
// such or of bare functions; null: there are none. Throws UserError at the record's place.
Json tools_of(const Record& record, const char* key);

// The chat with a system's message in front, unless it is empty or the chat has one.
Json with_system(const std::string& system, Json chat);

// A chat as the record kinds have it: {"prompt", "chosen", "rejected"} where the record has both answers
// beside it, {"prompt", "completion", "label"} where it has a label for its last message, else {"messages"}.
// Throws UserError at the record's place.
Json chat_record(const Record& record, Json messages, const TagNames& tags);

// The formats, one file each or a few; registry.cc says what they are.
bool fits_alpaca(const Json& record);
std::optional<Json> from_alpaca(const Record& record);
bool fits_sharegpt(const Json& record);
std::optional<Json> from_sharegpt(const Record& record);
bool fits_openai_preference(const Json& record);
std::optional<Json> from_openai_preference(const Record& record);
bool fits_h4(const Json& record);
std::optional<Json> from_h4(const Record& record);
bool fits_hh(const Json& record);
std::optional<Json> from_hh(const Record& record);
bool fits_ultrafeedback(const Json& record);
std::optional<Json> from_ultrafeedback(const Record& record);
bool fits_nemo(const Json& record);
std::optional<Json> from_nemo(const Record& record);
bool fits_verl(const Json& record);
std::optional<Json> from_verl(const Record& record);
bool fits_openai(const Json& record);
std::optional<Json> from_openai(const Record& record);

}  // namespace temper::formats
