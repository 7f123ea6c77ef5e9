// What requests may say, and what is said of those that may not.
#include "serve/protocol.h"

#include "serve/api_error.h"
#include "served_fake.h"
#include "test.h"

using namespace temper;

namespace {

Json chat_of(const std::string& more = "{}") {
  Json out{{"model", "base"}, {"messages", user_says("hi")}};
  out.update(Json::parse(more));
  return out;
}

Json completion_of(const std::string& more = "{}") {
  Json out{{"prompt", "hi"}};
  out.update(Json::parse(more));
  return out;
}

// "param: message" of the refusal; "": there is none.
template <class F>
std::string reading_refusal(F read) {
  try {
    read();
  } catch (const ApiError& e) {
    CHECK(e.status == 400);
    return e.what();
  }
  return "";
}

std::string chat_refusal(const std::string& more) {
  return reading_refusal([&] { read_chat_request(chat_of(more), {}); });
}
std::string completion_refusal(const std::string& more) {
  return reading_refusal([&] { read_completion_request(completion_of(more), {}); });
}

bool says(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return true;
  MESSAGE("\"", text, "\" lacks \"", part, "\"");
  return false;
}

const char* const kTool = R"({"type": "function", "function": {"name": "add", "parameters":
  {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}}})";

std::string with_tool(const std::string& more = "") {
  return std::string(R"({"tools": [)") + kTool + "]" + (more.empty() ? "" : ", " + more) + "}";
}

}  // namespace

TEST_CASE("protocol: a chat request, key by key") {
  const ChatRequest r = read_chat_request(
      chat_of(
          R"({"stream": true, "stream_options": {"include_usage": true}, "max_completion_tokens": 7, "n": 3,
        "temperature": 0.5, "top_p": 0.9, "top_k": -1, "min_p": 0.1, "typical_p": 0.8, "repetition_penalty": 1.1,
        "presence_penalty": 0.2, "frequency_penalty": -0.3, "seed": -4, "stop": ["a", "b"], "logprobs": true,
        "top_logprobs": 5, "user": "u", "metadata": {"a": 1}, "store": false, "service_tier": "auto",
        "chat_template_kwargs": {"enable_thinking": false}, "logit_bias": null, "tool_choice": "none",
        "parallel_tool_calls": true, "response_format": {"type": "text"}})"),
      {});
  CHECK(r.model == "base");
  CHECK(r.stream);
  CHECK(r.include_usage);
  CHECK(r.max_tokens == 7);
  CHECK(r.samples == 3);
  CHECK(r.sampling.temperature == 0.5);
  CHECK(r.sampling.top_p == 0.9);
  CHECK(r.sampling.top_k == 0);
  CHECK(r.sampling.min_p == 0.1);
  CHECK(r.sampling.typical_p == 0.8);
  CHECK(r.sampling.repetition_penalty == 1.1);
  CHECK(r.sampling.presence_penalty == 0.2);
  CHECK(r.sampling.frequency_penalty == -0.3);
  CHECK(r.seed == static_cast<uint64_t>(-4));
  CHECK(r.sampling.stop == std::vector<std::string>{"a", "b"});
  CHECK(r.top_logprobs == 5);
  CHECK(r.template_variables == Json{{"enable_thinking", false}});
  CHECK(!read_chat_request(chat_of(), {}).max_tokens);
  CHECK(!read_chat_request(chat_of(), {}).seed);
  CHECK(!read_chat_request(chat_of(), {}).top_logprobs);
  CHECK(read_chat_request(chat_of(R"({"stop": "x"})"), {}).sampling.stop == std::vector<std::string>{"x"});
  // What the server's defaults say holds where a request says nothing.
  RequestDefaults defaults;
  defaults.sampling.temperature = 0.7, defaults.sampling.top_k = 20;
  const ChatRequest d = read_chat_request(chat_of(R"({"temperature": 0})"), defaults);
  CHECK(d.sampling.temperature == 0);
  CHECK(d.sampling.top_k == 20);
}

TEST_CASE("protocol: what is unknown, or not offered, is refused by its name") {
  CHECK(says(chat_refusal(R"({"temprature": 1})"),
             "temprature: it is not known here; did you mean \"temperature\"?"));
  for (const char* key : {"logit_bias", "modalities", "audio", "prediction", "functions", "function_call"})
    CHECK(says(chat_refusal(Json{{key, Json::object()}}.dump()), std::string(key) + ": "));
  CHECK(says(chat_refusal(R"({"reasoning_effort": "low"})"), "reasoning_effort: "));
  CHECK(says(chat_refusal(R"({"ignore_eos": true})"), "ignore_eos: it is not known here"));
  CHECK(says(chat_refusal(R"({"stream_options": {"include_usage": true}})"), "stream_options: it goes with"));
  CHECK(says(completion_refusal(R"({"suffix": "x"})"), "suffix: "));
  CHECK(says(completion_refusal(R"({"echo": true})"), "echo: "));
  CHECK(says(completion_refusal(R"({"best_of": 2})"), "best_of: "));
  CHECK(completion_refusal(R"({"best_of": 2, "n": 2, "echo": false, "suffix": ""})").empty());
  CHECK(says(completion_refusal(R"({"messages": []})"), "messages: it is not known here"));
}

TEST_CASE("protocol: ranges and types") {
  CHECK(says(chat_refusal(R"({"temperature": -1})"), "temperature: "));
  CHECK(says(chat_refusal(R"({"temperature": "hot"})"), "temperature: "));
  CHECK(says(chat_refusal(R"({"temperature": 1e-9})"), "too near 0"));
  CHECK(says(chat_refusal(R"({"top_p": 0})"), "top_p: "));
  CHECK(says(chat_refusal(R"({"top_p": 1.5})"), "top_p: "));
  CHECK(says(chat_refusal(R"({"top_k": -2})"), "top_k: "));
  CHECK(says(chat_refusal(R"({"max_tokens": 0})"), "max_tokens: expected a whole number from 1"));
  CHECK(says(chat_refusal(R"({"max_tokens": 1.5})"), "max_tokens: "));
  CHECK(says(chat_refusal(R"({"max_tokens": 3, "max_completion_tokens": 4})"), "max_tokens: "));
  CHECK(says(chat_refusal(R"({"n": 17})"), "n: expected a whole number from 1 to 16, found 17"));
  CHECK(says(chat_refusal(R"({"n": true})"), "n: "));
  CHECK(says(chat_refusal(R"({"seed": 1e30})"), "seed: "));
  CHECK(says(chat_refusal(R"({"seed": 18446744073709551615})"), "seed: "));
  CHECK(says(chat_refusal(R"({"stop": ""})"), "stop: "));
  CHECK(says(chat_refusal(R"({"stop": [1]})"), "stop: "));
  CHECK(
      says(chat_refusal(R"({"stop": ["a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a"]})"),
           "stop: "));
  CHECK(says(chat_refusal(R"({"top_logprobs": 2})"), "top_logprobs: it goes with"));
  CHECK(says(chat_refusal(R"({"logprobs": true, "top_logprobs": 21})"), "top_logprobs: "));
  CHECK(says(chat_refusal(R"({"logprobs": 3})"), "logprobs: expected true or false"));
  CHECK(says(chat_refusal(R"({"stream": "yes"})"), "stream: "));
  CHECK(says(chat_refusal(R"({"model": 3})"), "model: "));
  CHECK(says(reading_refusal([] { read_chat_request(Json::array(), {}); }), "expected an object"));
}

TEST_CASE("protocol: messages") {
  const auto messages = [](const std::string& text) {
    return read_chat_request({{"messages", Json::parse(text)}}, {}).messages;
  };
  CHECK(messages(
            R"([{"role": "developer", "content": "d"}, {"role": "user", "content": [{"type": "text", "text":
    "a"}, {"type": "text", "text": "b"}]}])") ==
        Json::parse(R"([{"role": "system", "content": "d"}, {"role": "user", "content": "ab"}])"));
  // As clients send back what they were answered, nulls and all.
  CHECK(messages(R"([{"role": "user", "content": "q"}, {"role": "assistant", "content": null, "refusal": null,
    "audio": null, "function_call": null, "tool_calls": [{"id": "c1", "type": "function", "function":
    {"name": "add", "arguments": "{\"a\": 1}"}}]}, {"role": "tool", "tool_call_id": "c1", "content": "2"}])") ==
        Json::parse(R"([{"role": "user", "content": "q"}, {"role": "assistant", "content": "", "tool_calls":
    [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": {"a": 1}}}]},
    {"role": "tool", "content": "2", "tool_call_id": "c1"}])"));
  const auto wrong = [&](const std::string& text) { return reading_refusal([&] { messages(text); }); };
  CHECK(says(wrong("[]"), "messages: expected a list of messages, found []"));
  CHECK(says(wrong(R"(["hi"])"), "messages[0]: expected an object"));
  CHECK(says(wrong(R"([{"role": "robot", "content": "x"}])"), "messages[0].role: "));
  CHECK(says(wrong(R"([{"role": "user"}])"), "messages[0].content: missing"));
  CHECK(says(wrong(R"([{"role": "user", "content": 3}])"), "messages[0].content: "));
  CHECK(says(wrong(R"([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}])"),
             "messages[0].content[0].type: parts of type text alone are read here, found \"image_url\""));
  CHECK(says(wrong(R"([{"role": "tool", "content": "x"}])"), "messages[0].tool_call_id: missing"));
  CHECK(says(wrong(R"([{"role": "user", "content": "x", "weight": 1}])"),
             "messages[0].weight: it is not known"));
  CHECK(says(wrong(R"([{"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function":
    {"name": "f", "arguments": "{"}}]}])"),
             "messages[0].tool_calls[0].function.arguments: "));
  CHECK(says(wrong(R"([{"role": "assistant"}])"), "messages[0].content: missing"));
}

TEST_CASE("protocol: tools") {
  const ChatRequest r = read_chat_request(chat_of(with_tool()), {});
  REQUIRE(r.tools.tools.size() == 1);
  CHECK(!r.tools.forced);
  CHECK(r.tools.parallel);
  CHECK(read_chat_request(chat_of(with_tool(R"("tool_choice": "required")")), {}).tools.forced);
  CHECK(read_chat_request(chat_of(with_tool(R"("tool_choice": "none")")), {}).tools.tools.empty());
  const ChatRequest named = read_chat_request(
      chat_of(with_tool(
          R"("tool_choice": {"type": "function", "function": {"name": "add"}}, "parallel_tool_calls": false)")),
      {});
  CHECK(named.tools.forced);
  CHECK(named.tools.function == "add");
  CHECK(!named.tools.parallel);
  CHECK(says(chat_refusal(with_tool(R"("tool_choice": {"type": "function", "function": {"name": "sub"}})")),
             "tool_choice.function.name: expected one of the tools"));
  CHECK(says(chat_refusal(with_tool(R"("tool_choice": 3)")), "tool_choice: "));
  CHECK(says(chat_refusal(with_tool(R"("tool_choice": "any")")), "tool_choice: "));
  CHECK(says(chat_refusal(R"({"tool_choice": "required"})"), "tool_choice: there are no tools"));
  CHECK(says(chat_refusal(with_tool(R"("response_format": {"type": "json_object"})")),
             "tools: they go without"));
  CHECK(says(chat_refusal(R"({"tools": [{"type": "web"}]})"), "tools[0].type: "));
  CHECK(says(chat_refusal(R"({"tools": [{"type": "function", "function": {"name": "a b"}}]})"),
             "tools[0].function.name: "));
  CHECK(says(chat_refusal(R"({"tools": [{"type": "function", "function": {"name": "a", "strict": true}}]})"),
             "strict"));
  CHECK(says(chat_refusal(R"({"tools": [{"type": "function", "function": {"name": "a"}},
    {"type": "function", "function": {"name": "a"}}]})"),
             "tools[1].function.name: another tool"));
}

TEST_CASE("protocol: what an answer has to be") {
  const auto schema = [](const std::string& more) {
    return read_chat_request(chat_of(more), {}).sampling.json_schema;
  };
  CHECK(schema(R"({"response_format": {"type": "json_object"}})") == Json{{"type", "object"}});
  CHECK(schema(R"({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "strict": true,
    "schema": {"type": "integer"}}}})") == Json{{"type", "integer"}});
  CHECK(read_chat_request(chat_of(R"({"regex": "[0-9]+"})"), {}).sampling.regex == "[0-9]+");
  CHECK(says(chat_refusal(R"({"regex": "("})"), "regex: "));
  CHECK(says(chat_refusal(R"({"regex": "a", "response_format": {"type": "json_object"}})"),
             "response_format: "));
  // A schema in a string would be the name of a file here.
  CHECK(says(chat_refusal(
                 R"({"response_format": {"type": "json_schema", "json_schema": {"schema": "/etc/passwd"}}})"),
             "response_format.json_schema.schema: expected an object"));
  CHECK(says(
      chat_refusal(R"({"response_format": {"type": "json_schema", "json_schema": {"schema": {"if": {}}}}})"),
      "if"));
  CHECK(says(chat_refusal(R"({"response_format": {"type": "xml"}})"), "response_format.type: "));
}

TEST_CASE("protocol: completions") {
  const auto prompts = [](const std::string& text) {
    return read_completion_request({{"prompt", Json::parse(text)}}, {}).prompts;
  };
  CHECK(std::get<std::string>(prompts("\"a\"")[0]) == "a");
  CHECK(prompts(R"(["a", "b"])").size() == 2);
  CHECK(std::get<std::vector<int64_t>>(prompts("[1, 2]")[0]) == std::vector<int64_t>{1, 2});
  CHECK(prompts("[[1], [2, 3]]").size() == 2);
  CHECK(says(completion_refusal(R"({"prompt": []})"), "prompt: "));
  CHECK(says(completion_refusal(R"({"prompt": ["a", [1]]})"), "prompt: "));
  CHECK(says(completion_refusal(R"({"prompt": [1, -2]})"), "prompt: expected token ids"));
  CHECK(says(completion_refusal(R"({"prompt": null})"), "prompt: missing"));
  CHECK(says(completion_refusal(R"({"logprobs": 21})"), "logprobs: "));
  const CompletionRequest r = read_completion_request(completion_of(R"({"logprobs": 0})"), {});
  CHECK(r.top_logprobs == 0);
  CHECK(!r.max_tokens);
  CHECK(r.default_tokens == 16);
}
