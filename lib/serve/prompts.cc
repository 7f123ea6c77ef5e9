#include "serve/prompts.h"

#include "base/error.h"
#include "serve/api_error.h"
#include "serve/common_request.h"
#include "text/tool_templates.h"

namespace temper {
namespace {

// A line in front of everything else that the system says.
void say_first(Json& messages, const std::string& text) {
  if (messages.front()["role"] == "system")
    messages.front()["content"] = text + "\n\n" + messages.front()["content"].get<std::string>();
  else
    messages.insert(messages.begin(), Json{{"role", "system"}, {"content", text}});
}

// Results as the user's words, one message for those that follow each other; calls as the assistant wrote
// them are left to the template.
Json results_by_user(const Json& messages) {
  Json out = Json::array();
  bool behind_result = false;
  for (const Json& message : messages) {
    const bool result = message["role"] == "tool";
    if (!result)
      out.push_back(message);
    else if (behind_result)
      out.back()["content"] =
          out.back()["content"].get<std::string>() + "\n" + message["content"].get<std::string>();
    else
      out.push_back({{"role", "user"}, {"content", message["content"]}});
    behind_result = result;
  }
  return out;
}

// References of a tool's schema into itself, from where it stands now.
void move_references(Json& schema, const std::string& place) {
  if (schema.is_array()) {
    for (Json& one : schema) move_references(one, place);
  }
  if (!schema.is_object()) return;
  for (auto& [key, value] : schema.items()) {
    if (key == "$ref" && value.is_string() && value.get_ref<const std::string&>().starts_with('#'))
      value = "#" + place + value.get<std::string>().substr(1);
    else
      move_references(value, place);
  }
}

}  // namespace

ForcedCall forced_call(ToolFormat format, const Json& tools, const std::string& function) {
  const std::string arguments = format == ToolFormat::kLlama3 ? "parameters" : "arguments";
  const std::string place = format == ToolFormat::kMistral ? "/items" : "";
  const bool several = function.empty() && tools.size() > 1;
  Json calls = Json::array();
  for (const Json& tool : tools) {
    const Json& said = tool["function"];
    if (!function.empty() && said["name"] != function) continue;
    Json parameters = said["parameters"];
    move_references(parameters,
                    fmt::format("{}{}/properties/{}", place,
                                several ? fmt::format("/anyOf/{}", calls.size()) : "", arguments));
    if (!parameters.contains("type")) parameters["type"] = "object";
    calls.push_back({{"type", "object"},
                     {"properties", {{"name", {{"const", said["name"]}}}, {arguments, parameters}}},
                     {"required", {"name", arguments}},
                     {"additionalProperties", false}});
  }
  Json call = calls.size() == 1 ? calls[0] : Json{{"anyOf", calls}};
  switch (format) {
    case ToolFormat::kHermes:
      return {"<tool_call>\n", std::move(call)};
    case ToolFormat::kMistral:
      return {"[TOOL_CALLS]",
              {{"type", "array"}, {"items", std::move(call)}, {"minItems", 1}, {"maxItems", 1}}};
    case ToolFormat::kLlama3:
    case ToolFormat::kJson:
      break;
  }
  return {"", std::move(call)};
}

PromptEncoder::PromptEncoder(const Tokenizer& tokenizer, const ChatTemplate* chat)
    : tokenizer_(tokenizer),
      chat_(chat),
      encoder_(tokenizer, chat, {.max_tokens = INT32_MAX, .overlong = "error"}) {
  if (chat == nullptr) return;
  format_ = tool_format_of(*chat, tokenizer);
  shows_tools_ = shows_tools(*chat, tokenizer);
  shows_results_ = shows_results(*chat, tokenizer);
}

ServedPrompt PromptEncoder::chat(ChatRequest& request) const {
  if (chat_ == nullptr)
    throw bad_request("messages",
                      "the model has no chat template; start temper-serve with --template chatml or a .jinja "
                      "file, or use /v1/completions");
  const ToolUse& use = request.tools;
  Json messages = shows_results_ ? request.messages : results_by_user(request.messages);
  Json record{{"prompt", nullptr}};
  if (!request.template_variables.empty()) record["chat_template_kwargs"] = request.template_variables;
  if (!use.tools.empty()) {
    if (shows_tools_)
      record["tools"] = use.tools;
    else
      say_first(messages, tools_text(format_, use.tools));
  }
  record["prompt"] = std::move(messages);
  ServedPrompt out;
  try {
    out.ids = encoder_.prompt({std::move(record), "messages", 1});
  } catch (const UserError& e) {
    throw bad_request("messages", e.what());
  }
  if (!use.forced) return out;
  ForcedCall call = forced_call(format_, use.tools, use.function);
  request.sampling.json_schema = std::move(call.schema);
  try {
    check_sampling(request.sampling);
  } catch (const ApiError& e) {
    throw bad_request("tool_choice", std::string("the tools' parameters cannot be kept: ") + e.what());
  }
  const auto more = tokenizer_.encode(call.begun, {.parse_special = true});
  out.ids.insert(out.ids.end(), more.begin(), more.end());
  out.begun = std::move(call.begun);
  return out;
}

ServedPrompt PromptEncoder::plain(const CompletionRequest::Prompt& prompt) const {
  if (const auto* ids = std::get_if<std::vector<int64_t>>(&prompt)) {
    for (const int64_t id : *ids) {
      if (id >= tokenizer_.vocab_size())
        throw bad_request(
            "prompt", fmt::format("token {} is outside the vocabulary of {}", id, tokenizer_.vocab_size()));
    }
    if (ids->empty()) throw bad_request("prompt", "it is empty");
    return {*ids, ""};
  }
  try {
    return {encoder_.prompt({Json{{"prompt", std::get<std::string>(prompt)}}, "prompt", 1}), ""};
  } catch (const UserError& e) {
    throw bad_request("prompt", e.what());
  }
}

}  // namespace temper
