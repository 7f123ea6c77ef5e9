#include "text/tool_templates.h"

#include <optional>

#include "base/error.h"

namespace temper {
namespace {

const char* const kName = "add_up";  // of the made-up tool

Json made_up_tools() {
  const Json number = {{"type", "number"}};
  return Json::array(
      {{{"type", "function"},
        {"function",
         {{"name", kName},
          {"description", "adds"},
          {"parameters", {{"type", "object"}, {"properties", {{"a", number}}}, {"required", {"a"}}}}}}}});
}

// nullopt: the template refuses it.
std::optional<std::string> rendering(const ChatTemplate& chat, const Tokenizer& tokenizer,
                                     const Json& messages, bool generation_prompt, const Json& tools) {
  Json extra = Json::object();
  if (!tools.is_null()) extra["tools"] = tools;
  try {
    return chat.encode(tokenizer, messages, generation_prompt, extra).text;
  } catch (const UserError&) {
    return {};
  }
}

}  // namespace

ToolFormat tool_format_of(const ChatTemplate& chat, const Tokenizer& tokenizer) {
  const std::string question = "What does it come to?";
  const Json arguments = {{"a", 7}}, tools = made_up_tools();
  Json messages = Json::array({{{"role", "user"}, {"content", question}}});
  const auto prompt = rendering(chat, tokenizer, messages, true, tools);
  messages.push_back(
      {{"role", "assistant"},
       {"content", ""},
       {"tool_calls", Json::array({{{"id", "call00001"},
                                    {"type", "function"},
                                    {"function", {{"name", kName}, {"arguments", arguments}}}}})}});
  messages.push_back({{"role", "tool"}, {"name", kName}, {"tool_call_id", "call00001"}, {"content", "7"}});
  const auto whole = rendering(chat, tokenizer, messages, false, tools);
  if (!prompt || !whole) return ToolFormat::kJson;
  // Where the generation prompt writes more than stored turns have, the call stands behind the question.
  const size_t asked = whole->rfind(question);
  if (asked == std::string::npos) return ToolFormat::kJson;
  const std::string turn =
      whole->substr(whole->starts_with(*prompt) ? prompt->size() : asked + question.size());
  for (const ToolFormat format : {ToolFormat::kMistral, ToolFormat::kHermes, ToolFormat::kLlama3}) {
    const ToolCalls read = read_tool_calls(format, turn, turn);
    if (read.calls.size() == 1 && read.calls[0].name == kName && read.calls[0].arguments == arguments)
      return format;
  }
  return ToolFormat::kJson;
}

bool shows_tools(const ChatTemplate& chat, const Tokenizer& tokenizer) {
  const Json messages = Json::array({{{"role", "user"}, {"content", "What does it come to?"}}});
  const auto with = rendering(chat, tokenizer, messages, true, made_up_tools());
  return with && with != rendering(chat, tokenizer, messages, true, nullptr);
}

bool shows_results(const ChatTemplate& chat, const Tokenizer& tokenizer) {
  const std::string result = "It comes to seven.";
  const Json messages =
      Json::array({{{"role", "user"}, {"content", "What does it come to?"}},
                   {{"role", "assistant"}, {"content", "add_up"}},
                   {{"role", "tool"}, {"name", kName}, {"tool_call_id", "call00001"}, {"content", result}}});
  const auto whole = rendering(chat, tokenizer, messages, true, made_up_tools());
  return whole && whole->find(result) != std::string::npos;
}

std::string tools_text(ToolFormat format, const Json& tools) {
  std::string out = "You can call these tools:\n";
  for (const Json& tool : tools) out += dump_line(tool) + "\n";
  switch (format) {
    case ToolFormat::kHermes:
      return out +
             "To call one, write its name and arguments as JSON between these tags, a pair a call:\n"
             "<tool_call>\n{\"name\": \"...\", \"arguments\": {...}}\n</tool_call>";
    case ToolFormat::kLlama3:
      return out +
             "To call one, write nothing but its name and arguments as JSON: "
             "{\"name\": \"...\", \"parameters\": {...}}";
    case ToolFormat::kMistral:
      return out +
             "To call them, write [TOOL_CALLS] and a list of their names and arguments as JSON: "
             "[TOOL_CALLS] [{\"name\": \"...\", \"arguments\": {...}}]";
    case ToolFormat::kJson:
      break;
  }
  return out +
         "To call one, write its name and arguments as JSON on a line: {\"name\": \"...\", \"arguments\": "
         "{...}}";
}

}  // namespace temper
