// Requests and their replies over a service that says what it is told to.
#include "serve/answer.h"

#include "grammar/schema.h"
#include "serve/api_error.h"
#include "served_fake.h"
#include "test.h"

using namespace temper;

namespace {

const Gone kThere = [] { return false; };

Json whole(const Answerer& answerer, const Json& request, bool chat = true) {
  return (chat ? answerer.chat(request) : answerer.completion(request))->whole(kThere);
}

// The pieces of a stream, without what frames them; the last says that it is.
std::vector<Json> pieces(const Answerer& answerer, Json request, bool chat = true) {
  request["stream"] = true;
  std::string all;
  (chat ? answerer.chat(request) : answerer.completion(request))
      ->stream(kThere, [&](const std::string& text) {
        all += text;
        return true;
      });
  std::vector<Json> out;
  for (size_t at = 0; at < all.size();) {
    const size_t end = all.find("\n\n", at);
    REQUIRE(all.substr(at, 6) == "data: ");
    const std::string data = all.substr(at + 6, end - at - 6);
    if (data == "[DONE]") {
      CHECK(end + 2 == all.size());
      return out;
    }
    out.push_back(Json::parse(data));
    at = end + 2;
  }
  out.push_back("no end");
  return out;
}

std::string content_of(const std::vector<Json>& pieces, int64_t index = 0) {
  std::string out;
  for (const Json& piece : pieces) {
    for (const Json& choice : piece["choices"]) {
      if (choice["index"] != index) continue;
      if (choice.contains("text"))
        out += choice["text"];
      else if (choice["delta"].contains("content"))
        out += choice["delta"]["content"];
    }
  }
  return out;
}

ApiError asking_refusal(const std::function<void()>& ask) {
  try {
    ask();
  } catch (const ApiError& e) {
    return e;
  } catch (const ServiceRefusal& e) {
    return of_refusal(e);
  }
  FAIL("nothing was refused");
  return {0, "", ""};
}

}  // namespace

TEST_CASE("answer: a chat, whole and in pieces") {
  ServedFake fake;
  const Answerer answerer(fake.model);
  const Json request{{"messages", user_says("hi")}, {"seed", 5}, {"n", 2}};
  const Json reply = whole(answerer, request);
  CHECK(reply["object"] == "chat.completion");
  CHECK(reply["model"] == "base");
  REQUIRE(reply["choices"].size() == 2);
  CHECK(reply["choices"][1]["message"] == Json{{"role", "assistant"}, {"content", "answer 1"}});
  CHECK(reply["choices"][1]["finish_reason"] == "stop");
  const std::string prompt = "<start>user hi<end><start>assistant ";
  CHECK(fake.tokenizer.decode(fake.service.last().prompt, true) == prompt);
  CHECK(fake.service.last().seed == 5);
  CHECK(reply["usage"]["prompt_tokens"] == fake.service.last().prompt.size());
  CHECK(reply["usage"]["completion_tokens"] == 18);  // with both end tokens
  CHECK(reply["usage"]["prompt_tokens_details"]["cached_tokens"] == 3);

  Json streamed = request;
  streamed["stream_options"] = {{"include_usage", true}};
  const auto all = pieces(answerer, streamed);
  REQUIRE(all.size() > 4);
  CHECK(all[0]["choices"][0]["delta"] == Json{{"role", "assistant"}, {"content", ""}});
  CHECK(all[0]["usage"].is_null());
  CHECK(content_of(all, 0) == "answer 0");
  CHECK(content_of(all, 1) == "answer 1");
  CHECK(all.back()["usage"] == reply["usage"]);
  const Json& last = all[all.size() - 2]["choices"][0];
  CHECK(last["delta"] == Json::object());
  CHECK(last["finish_reason"] == "stop");
}

TEST_CASE("answer: limits of tokens") {
  ServedFake fake;
  const Answerer answerer(fake.model);
  const Json request{{"messages", user_says("hi")}};
  whole(answerer, request);
  const int64_t prompt = static_cast<int64_t>(fake.service.last().prompt.size());
  CHECK(fake.service.last().sampling.max_new_tokens == 4096 - prompt);
  Json limited = request;
  limited["max_tokens"] = 3;
  const Json reply = whole(answerer, limited);
  CHECK(reply["choices"][0]["message"]["content"] == "ans");
  CHECK(reply["choices"][0]["finish_reason"] == "length");
  limited["max_tokens"] = 4096 - prompt + 1;
  const ApiError e = asking_refusal([&] { answerer.chat(limited); });
  CHECK(e.status == 400);
  CHECK(e.code == "context_length_exceeded");
  CHECK(std::string(e.what()).find("4096") != std::string::npos);
  fake.service.tokens_context = prompt;
  CHECK(asking_refusal([&] { answerer.chat(request); }).code == "context_length_exceeded");
  fake.service.tokens_context = 4096;
  whole(answerer, {{"prompt", "a"}}, false);
  CHECK(fake.service.last().sampling.max_new_tokens == 16);
}

TEST_CASE("answer: models by name") {
  ServedFake fake;
  const Answerer answerer(fake.model);
  fake.service.load_adapter("tuned", "folder");
  const Json request{{"messages", user_says("hi")}, {"model", "tuned"}};
  CHECK(whole(answerer, request)["model"] == "tuned");
  CHECK(fake.service.last().adapter == "tuned");
  whole(answerer, {{"messages", user_says("hi")}, {"model", "base"}});
  CHECK(fake.service.last().adapter.empty());
  const ApiError e = asking_refusal([&] {
    answerer.chat({{"messages", user_says("hi")}, {"model", "other"}});
  });
  CHECK(e.status == 404);
  CHECK(e.code == "model_not_found");
  CHECK(std::string(e.what()).find("base, tuned") != std::string::npos);
  fake.service.busy = true;
  CHECK(asking_refusal([&] { answerer.chat(request); }).status == 429);
}

TEST_CASE("answer: tools, as the model writes them") {
  ServedFake fake;
  fake.service.says = [](const ServiceRequest&, int64_t) {
    return "I add.\n<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1}}\n</tool_call>";
  };
  const Answerer answerer(fake.model);
  const Json tool{
      {"type", "function"},
      {"function",
       {{"name", "add"},
        {"parameters",
         {{"type", "object"}, {"properties", {{"a", {{"type", "integer"}}}}}, {"required", {"a"}}}}}}};
  Json request{{"messages", user_says("hi")}, {"tools", Json::array({tool})}};
  const Json reply = whole(answerer, request);
  CHECK(fake.tokenizer.decode(fake.service.last().prompt, true).find("<start>tools [{") == 0);
  const Json& message = reply["choices"][0]["message"];
  CHECK(message["content"] == "I add.");
  CHECK(message["tool_calls"][0]["function"] == Json{{"name", "add"}, {"arguments", "{\"a\":1}"}});
  CHECK(reply["choices"][0]["finish_reason"] == "tool_calls");
  const auto all = pieces(answerer, request);
  CHECK(content_of(all) == "I add.");
  const Json& calls = all[all.size() - 2]["choices"][0]["delta"]["tool_calls"];
  CHECK(calls[0]["function"] == message["tool_calls"][0]["function"]);
  CHECK(calls[0]["index"] == 0);
  CHECK(all.back()["choices"][0]["finish_reason"] == "tool_calls");
  // With "none" the model is told of no tools, and what it writes are words.
  request["tool_choice"] = "none";
  const Json words = whole(answerer, request);
  CHECK(words["choices"][0]["message"]["content"].get<std::string>().find("<tool_call>") !=
        std::string::npos);
  CHECK(fake.tokenizer.decode(fake.service.last().prompt, true).find("tools") == std::string::npos);

  // An answer that has to be a call: its mark stands in the prompt, and the rest is JSON of a schema.
  request["tool_choice"] = "required";
  fake.service.says = [](const ServiceRequest&, int64_t) {
    return R"({"name": "add", "arguments": {"a": 7}})";
  };
  const Json forced = whole(answerer, request);
  CHECK(fake.tokenizer.decode(fake.service.last().prompt, true).ends_with("<start>assistant <tool_call>\n"));
  CHECK(fake.service.last().sampling.json_schema["properties"]["name"] == Json{{"const", "add"}});
  CHECK(forced["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == "{\"a\":7}");
  CHECK(forced["choices"][0]["message"]["content"].is_null());
  request["tools"][0]["function"]["parameters"]["properties"]["a"] = {{"if", 1}};
  CHECK(asking_refusal([&] { answerer.chat(request); }).param == "tool_choice");
}

TEST_CASE("answer: a forced call can be kept, and is read, in every form") {
  const Json tools =
      Json::parse(R"([{"type": "function", "function": {"name": "add", "parameters": {"type": "object",
      "properties": {"a": {"type": "integer"}}, "required": ["a"]}}}, {"type": "function", "function": {"name": "now",
      "parameters": {"type": "object", "properties": {}}}}])");
  const std::map<ToolFormat, std::string> written = {
      {ToolFormat::kHermes, R"({"name": "add", "arguments": {"a": 1}})"},
      {ToolFormat::kLlama3, R"({"name": "add", "parameters": {"a": 1}})"},
      {ToolFormat::kMistral, R"([{"name": "add", "arguments": {"a": 1}}])"},
      {ToolFormat::kJson, R"({"name": "add", "arguments": {"a": 1}})"}};
  for (const auto& [format, text] : written) {
    CAPTURE(text);
    for (const char* name : {"", "add", "now"}) {
      const std::string function = name;
      const ForcedCall call = forced_call(format, tools, function);
      CHECK(schema_automaton(call.schema, "the call").matches(text) == (function != "now"));
      const ToolCalls read = read_tool_calls(format, call.begun + text, call.begun + text);
      REQUIRE(read.calls.size() == 1);
      CHECK(read.calls[0].arguments == Json{{"a", 1}});
      CHECK(read.content.empty());
    }
  }
}

TEST_CASE("answer: a tool's schema may refer to itself") {
  ServedFake fake;
  const Answerer answerer(fake.model);
  const Json tool =
      Json::parse(R"({"type": "function", "function": {"name": "add", "parameters": {"type": "object",
      "properties": {"a": {"$ref": "#/$defs/digit"}}, "required": ["a"],
      "$defs": {"digit": {"type": "integer", "minimum": 0, "maximum": 9}}}}})");
  Json other = tool;
  other["function"]["name"] = "subtract";
  Json request{{"messages", user_says("hi")}, {"tools", {tool, other}}, {"tool_choice", "required"}};
  answerer.chat(request);
  CHECK(fake.service.last().sampling.json_schema["anyOf"][1]["properties"]["arguments"]["properties"]["a"]
                                                ["$ref"] == "#/anyOf/1/properties/arguments/$defs/digit");
  request["tool_choice"] = {{"type", "function"}, {"function", {{"name", "subtract"}}}};
  answerer.chat(request);
  CHECK(fake.service.last().sampling.json_schema["properties"]["arguments"]["properties"]["a"]["$ref"] ==
        "#/properties/arguments/$defs/digit");
}

TEST_CASE("answer: tools that a template says nothing of") {
  ServedFake fake(
      "{%- for m in messages %}{{- '<start>' + m.role + ' ' + m.content + '<end>' }}{% endfor %}"
      "{%- if add_generation_prompt %}{{- '<start>assistant ' }}{% endif %}");
  fake.service.says = [](const ServiceRequest&, int64_t) { return R"({"name": "add", "arguments": {}})"; };
  const Answerer answerer(fake.model);
  const Json tool{{"type", "function"}, {"function", {{"name", "add"}}}};
  const Json reply = whole(answerer, {{"messages", user_says("hi")}, {"tools", Json::array({tool})}});
  CHECK(fake.tokenizer.decode(fake.service.last().prompt, true)
            .starts_with("<start>system You can call these tools:"));
  CHECK(reply["choices"][0]["message"]["tool_calls"].size() == 1);
}

TEST_CASE("answer: log-probs, whole and in pieces") {
  ServedFake fake;
  fake.service.says = [](const ServiceRequest&, int64_t) { return "the \xe2\x82\xac STOP gone"; };
  const Answerer answerer(fake.model);
  const Json request{
      {"messages", user_says("hi")}, {"logprobs", true}, {"top_logprobs", 2}, {"stop", "STOP"}};
  const Json reply = whole(answerer, request);
  const Json& content = reply["choices"][0]["logprobs"]["content"];
  std::string bytes;
  for (const Json& token : content) {
    for (const Json& byte : token["bytes"]) bytes += static_cast<char>(byte.get<int>());
    CHECK(token["top_logprobs"].size() == 2);
  }
  CHECK(bytes == "the \xe2\x82\xac ");
  Json told = Json::array();
  for (const Json& piece : pieces(answerer, request)) {
    const Json& logprobs = piece["choices"][0]["logprobs"];
    if (!logprobs.is_null()) told.insert(told.end(), logprobs["content"].begin(), logprobs["content"].end());
  }
  CHECK(dump_line(told) == dump_line(content));
  const Json plain = whole(answerer, {{"prompt", "a"}, {"logprobs", 1}, {"stop", "STOP"}}, false);
  const Json& logprobs = plain["choices"][0]["logprobs"];
  CHECK(logprobs["text_offset"] == Json::parse("[0, 2, 3, 4, 4, 5]"));
  CHECK(logprobs["tokens"].size() == logprobs["token_logprobs"].size());
}

TEST_CASE("answer: several prompts") {
  ServedFake fake;
  const Answerer answerer(fake.model);
  const Json request{{"prompt", {"a", "b"}}, {"n", 2}, {"seed", 1}};
  const Json reply = whole(answerer, request, false);
  REQUIRE(reply["choices"].size() == 4);
  CHECK(reply["choices"][3]["index"] == 3);
  CHECK(reply["choices"][3]["text"] == "answer 1");
  const auto all = pieces(answerer, request, false);
  for (int i = 0; i < 4; ++i) CHECK(content_of(all, i) == reply["choices"][static_cast<size_t>(i)]["text"]);
  CHECK(asking_refusal([&] { answerer.completion({{"prompt", {100000}}}); }).param == "prompt");
}

TEST_CASE("answer: who has gone is told nothing, and what fails under way is told as an event") {
  ServedFake fake;
  fake.service.pace = std::chrono::milliseconds(20);
  const Answerer answerer(fake.model);
  const Json request{{"messages", user_says("hi")}};
  CHECK(answerer.chat(request)->whole([] { return true; }).is_null());
  CHECK(fake.service.cancelled == 1);
  fake.service.pace = std::chrono::milliseconds(0);
  fake.service.broken = true;
  const auto all = pieces(answerer, request);
  CHECK(all.back() == "no end");
  const Json& error = all[all.size() - 2]["error"];
  CHECK(error["type"] == "server_error");
  CHECK(dump_line(error).find("secret") == std::string::npos);
}
