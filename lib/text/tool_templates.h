// What a chat template knows of tools, and what to say of them where it knows nothing.
#pragma once

#include <string>

#include "base/json.h"
#include "text/template.h"
#include "text/tool_calls.h"

namespace temper {

// How the template writes an assistant's call of a made-up tool; kJson where it writes none, or in a way that
// none of the formats reads.
ToolFormat tool_format_of(const ChatTemplate& chat, const Tokenizer& tokenizer);

// Whether a prompt differs when the variable "tools" is given.
bool shows_tools(const ChatTemplate& chat, const Tokenizer& tokenizer);

// Whether the words of a message of role "tool" stand in what is rendered.
bool shows_results(const ChatTemplate& chat, const Tokenizer& tokenizer);

// For a system message: the tools' schemas, and how a call is written. tools: a list of {"type": "function",
// "function": {"name", "description", "parameters"}}.
std::string tools_text(ToolFormat format, const Json& tools);

}  // namespace temper
