// Calls of tools, read from what a model wrote.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace temper {

// How models write a call:
//   hermes   <tool_call>\n{"name": "f", "arguments": {...}}\n</tool_call>, any number of them, text around
//   them
//            (Hermes 2 Pro, Qwen2.5, Qwen3); one that is not closed goes to the end.
//   llama3   {"name": "f", "parameters": {...}} as the whole message, behind <|python_tag|> or without it,
//            several separated by ";" (Llama 3.1, 3.2, 3.3).
//   mistral  [TOOL_CALLS] [{"name": "f", "arguments": {...}, "id": "9 characters"}], or, from the tokenizers
//            v11 on, [TOOL_CALLS]f[ARGS]{...} each, with [CALL_ID] and an id in front of [ARGS] or without.
//   json     {"name": "f", "arguments": {...}} where a line begins, also in a ``` block, or a list of such.
// "arguments" and "parameters" are one, may be left out, and may be JSON in a string. What is thought in
// <think> ... </think> calls nothing.
enum class ToolFormat { kHermes, kLlama3, kMistral, kJson };
const std::vector<std::string>& tool_format_names();  // "hermes" ..., in the order of the enum
ToolFormat tool_format(const std::string& name);      // throws UserError for another name

struct ToolCall {
  std::string name;                 // "" where none can be read
  Json arguments = Json::object();  // an object
  std::string id = {};              // as the model wrote it; "" when it wrote none
  std::string error = {};           // why it cannot be made, for the model to read; "" when it can
  std::string written = {};         // the call's text
};

struct ToolCalls {
  std::vector<ToolCall> calls;  // in the order they stand
  std::string content;          // what was written beside them, blanks at both ends left out
};

// text: without special tokens; raw_text: with them. Never throws for what a model wrote; time is linear in
// its length. At most kMaxToolCalls are read; the rest is one more, with an error.
constexpr size_t kMaxToolCalls = 128;
ToolCalls read_tool_calls(ToolFormat format, std::string_view text, std::string_view raw_text);

}  // namespace temper
