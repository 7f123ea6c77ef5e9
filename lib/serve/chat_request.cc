#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "serve/api_error.h"
#include "serve/common_request.h"
#include "serve/protocol.h"

namespace temper {
namespace {

// The words of a message; null: it has none.
Json content_of(RequestReader& message) {
  const Json* content = message.find("content");
  if (content == nullptr) return nullptr;
  if (content->is_string()) return *content;
  if (!content->is_array()) message.expected("content", "text or a list of parts", *content);
  std::string out;
  for (size_t i = 0; i < content->size(); ++i) {
    RequestReader part((*content)[i], fmt::format("{}[{}]", message.path("content"), i));
    const std::string type = part.text("type").value_or("");
    if (type != "text")
      throw bad_request(part.path("type"),
                        fmt::format("parts of type text alone are read here, found \"{}\"", type),
                        "unsupported_content");
    part.demand("text", "a string");
    out += part.text("text").value_or("");
    part.finish();
  }
  return out;
}

// The assistant's calls with their arguments as objects, as templates want them.
Json calls_of(RequestReader& message) {
  Json out = Json::array();
  const Json* calls = message.list("tool_calls");
  if (calls == nullptr) return out;
  for (size_t i = 0; i < calls->size(); ++i) {
    RequestReader call((*calls)[i], fmt::format("{}[{}]", message.path("tool_calls"), i));
    call.demand_value("type", "function", "expected \"function\"");
    const std::string id = call.text("id").value_or("");
    call.ignore("index");
    call.demand("function", "an object with \"name\" and \"arguments\"");
    RequestReader function(*call.object("function"), call.path("function"));
    function.demand("name", "a string");
    const std::string name = *function.text("name");
    const Json& given = function.demand("arguments", "JSON in a string");
    Json arguments = given;
    if (given.is_string()) {
      try {
        arguments = parse_json(given.get<std::string>(), "the arguments");
      } catch (const UserError& e) {
        throw bad_request(function.path("arguments"), e.what());
      }
    }
    if (!arguments.is_object()) function.expected("arguments", "a JSON object in a string", given);
    function.finish();
    call.finish();
    out.push_back(
        {{"id", id}, {"type", "function"}, {"function", {{"name", name}, {"arguments", arguments}}}});
  }
  return out;
}

Json read_message(const Json& json, size_t place) {
  RequestReader message(json, fmt::format("messages[{}]", place));
  message.demand("role", "system, user, assistant or tool");
  std::string role = message.text("role").value_or("");
  if (role == "developer") role = "system";
  const char* const kRoles[] = {"system", "user", "assistant", "tool"};
  if (std::find(std::begin(kRoles), std::end(kRoles), role) == std::end(kRoles))
    message.expected("role", "system, developer, user, assistant or tool", json["role"]);
  Json out{{"role", role}};
  const Json content = content_of(message);
  out["content"] = content.is_null() ? Json("") : content;
  if (const auto name = message.text("name")) out["name"] = *name;
  if (role == "assistant") {
    const Json calls = calls_of(message);
    if (!calls.empty()) out["tool_calls"] = calls;
    if (content.is_null() && calls.empty())
      throw bad_request(message.path("content"), "missing; expected text, or \"tool_calls\"");
    for (const char* key : {"reasoning_content", "reasoning"})
      if (const auto thought = message.text(key)) out["reasoning_content"] = *thought;
    message.ignore("annotations");
  } else if (content.is_null()) {
    throw bad_request(message.path("content"), "missing; expected text");
  }
  if (role == "tool") {
    message.demand("tool_call_id", "the id of the call that this is the result of");
    out["tool_call_id"] = *message.text("tool_call_id");
  }
  message.finish();
  return out;
}

// {"type": "function", "function": {"name", "description", "parameters"}}
Json read_tool(const Json& json, size_t place) {
  RequestReader tool(json, fmt::format("tools[{}]", place));
  tool.demand("type", "\"function\"");
  if (tool.text("type") != "function") tool.expected("type", "\"function\"", json["type"]);
  tool.demand("function", "an object with \"name\"");
  RequestReader function(*tool.object("function"), tool.path("function"));
  function.demand("name", "a string");
  Json out{{"name", *function.text("name")}};
  const std::string& name = out["name"].get_ref<const std::string&>();
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  };
  if (name.empty() || name.size() > 64 || !std::all_of(name.begin(), name.end(), fits))
    function.expected("name", "1 to 64 letters, digits, \"_\" and \"-\"", out["name"]);
  if (const auto description = function.text("description")) out["description"] = *description;
  const Json* parameters = function.object("parameters");
  out["parameters"] =
      parameters != nullptr ? *parameters : Json{{"type", "object"}, {"properties", Json::object()}};
  // Kept only where the answer has to be a call: then it always is.
  function.flag("strict", false);
  function.finish();
  tool.finish();
  return {{"type", "function"}, {"function", std::move(out)}};
}

bool any_strict(const Json& tools) {
  return std::any_of(tools.begin(), tools.end(), [](const Json& tool) {
    const Json& function = tool["function"];
    return function.contains("strict") && function["strict"] == true;
  });
}

void read_tools(RequestReader& reader, ChatRequest& request) {
  const Json* tools = reader.list("tools");
  Json read = Json::array();
  if (tools != nullptr) {
    if (tools->size() > kMaxTools)
      throw bad_request("tools", fmt::format("at most {}, found {}", kMaxTools, tools->size()));
    for (size_t i = 0; i < tools->size(); ++i) {
      read.push_back(read_tool((*tools)[i], i));
      for (size_t k = 0; k < i; ++k) {
        if (read[k]["function"]["name"] == read[i]["function"]["name"])
          throw bad_request(fmt::format("tools[{}].function.name", i),
                            "another tool is called " + dump_line(read[i]["function"]["name"]));
      }
    }
  }
  request.tools.parallel = reader.flag("parallel_tool_calls", true);
  const Json* choice = reader.find("tool_choice");
  constexpr const char* kChoices =
      "none, auto, required or {\"type\": \"function\", \"function\": {\"name\"}}";
  std::string word = "auto";
  if (choice != nullptr && choice->is_string()) {
    word = *choice;
    if (word != "none" && word != "auto" && word != "required")
      reader.expected("tool_choice", kChoices, *choice);
  } else if (choice != nullptr) {
    RequestReader named(*reader.object("tool_choice"), "tool_choice");
    named.demand("type", "\"function\"");
    if (named.text("type") != "function") named.expected("type", "\"function\"", choice->at("type"));
    named.demand("function", "an object with \"name\"");
    RequestReader function(*named.object("function"), "tool_choice.function");
    function.demand("name", "one of the tools");
    request.tools.function = *function.text("name");
    const bool known = std::any_of(read.begin(), read.end(), [&](const Json& tool) {
      return tool["function"]["name"] == request.tools.function;
    });
    if (!known) function.expected("name", "one of the tools", choice->at("function").at("name"));
    function.finish();
    named.finish();
    word = "required";
  }
  if (read.empty() && word == "required")
    throw bad_request("tool_choice", "there are no tools to choose from");
  if (word == "none") return;
  request.tools.tools = std::move(read);
  request.tools.forced = word == "required";
  if (!request.tools.forced && tools != nullptr && any_strict(*tools))
    throw bad_request(
        "tools",
        "\"strict\" is kept where the answer has to be a call; set tool_choice to \"required\" or "
        "to the function, or leave it out",
        "unsupported_parameter");
  if (request.tools.tools.empty()) return;
  if (!request.sampling.constrains()) return;
  throw bad_request("tools", "they go without response_format and regex, which say what the whole answer is");
}

}  // namespace

ChatRequest read_chat_request(const Json& json, const RequestDefaults& defaults) {
  RequestReader reader(json, "");
  ChatRequest out;
  read_common(reader, json, defaults, out);
  const Json& messages = reader.demand("messages", "a list of messages");
  if (!messages.is_array() || messages.empty()) reader.expected("messages", "a list of messages", messages);
  for (size_t i = 0; i < messages.size(); ++i) out.messages.push_back(read_message(messages[i], i));
  const auto old_limit = reader.whole("max_tokens", 1, INT32_MAX);
  out.max_tokens = reader.whole("max_completion_tokens", 1, INT32_MAX);
  if (out.max_tokens && old_limit && out.max_tokens != old_limit)
    throw bad_request("max_tokens", "max_completion_tokens is the same and says something else");
  if (!out.max_tokens) out.max_tokens = old_limit;
  const bool logprobs = reader.flag("logprobs", false);
  const auto top = reader.whole("top_logprobs", 0, 20);
  if (top && !logprobs) throw bad_request("top_logprobs", "it goes with \"logprobs\": true");
  if (logprobs) out.top_logprobs = top.value_or(0);
  read_tools(reader, out);
  if (const Json* variables = reader.object("chat_template_kwargs")) {
    for (const char* own : {"messages", "add_generation_prompt", "tools"}) {
      if (variables->contains(own))
        throw bad_request(fmt::format("chat_template_kwargs.{}", own), "the request itself says it");
    }
    out.template_variables = *variables;
  }
  for (const char* key : {"functions", "function_call"}) {
    if (reader.find(key) != nullptr)
      throw bad_request(key, "it is the old form of tools and tool_choice; use these",
                        "unsupported_parameter");
  }
  reader.demand_value("reasoning_effort", nullptr,
                      "say it in chat_template_kwargs, where the template reads it");
  reader.finish();
  check_sampling(out.sampling);
  return out;
}

}  // namespace temper
