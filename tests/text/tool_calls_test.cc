// Calls of tools: the forms that model cards and vLLM's parsers document, and what no form allows.
#include "text/tool_calls.h"

#include "base/error.h"
#include "base/file.h"
#include "fake_tokenizer.h"
#include "test.h"
#include "text/tool_templates.h"

using namespace temper;

namespace {

ToolCalls read(const std::string& format, const std::string& text) {
  return read_tool_calls(tool_format(format), text, text);
}

// "name arguments id" of each call, or its error, a line each.
std::string shown_calls(const ToolCalls& read) {
  std::string out;
  for (const ToolCall& call : read.calls) {
    if (!out.empty()) out += '\n';
    out += call.name + " " + dump_line(call.arguments);
    if (!call.id.empty()) out += " " + call.id;
    if (!call.error.empty()) out += " ! " + call.error;
  }
  return out;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("hermes: calls between tags, and text around them") {
  const ToolCalls one =
      read("hermes",
           "Let me look.\n<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": "
           "\"Paris\", \"days\": 2}}\n</tool_call>");
  CHECK(shown_calls(one) == R"(get_weather {"city":"Paris","days":2})");
  CHECK(one.content == "Let me look.");
  CHECK(one.calls[0].written == R"({"name": "get_weather", "arguments": {"city": "Paris", "days": 2}})");

  // Two, as Qwen2.5 writes parallel calls.
  CHECK(shown_calls(
            read("hermes",
                 "<tool_call>\n{\"name\": \"a\", \"arguments\": {\"x\": 1}}\n</tool_call>\n<tool_call>\n"
                 "{\"arguments\": {}, \"name\": \"b\"}\n</tool_call>")) == "a {\"x\":1}\nb {}");
  // Not closed: a stop string took the tag, or the length ran out.
  CHECK(shown_calls(read("hermes", "<tool_call>\n{\"name\": \"a\", \"arguments\": {\"x\": 1}}\n")) ==
        "a {\"x\":1}");
  // A list in one pair of tags, as SmolLM2 writes them, and arguments as JSON in a string.
  CHECK(
      shown_calls(read(
          "hermes", R"(<tool_call>[{"name": "a", "arguments": "{\"x\": 1}"}, {"name": "b"}]</tool_call>)")) ==
      "a {\"x\":1}\nb {}");
  CHECK(read("hermes", "The answer is 4.").calls.empty());
  CHECK(read("hermes", "The answer is 4.").content == "The answer is 4.");
}

TEST_CASE("hermes: tags that are special tokens stand in the raw text alone") {
  const ToolCalls calls =
      read_tool_calls(ToolFormat::kHermes, "\n{\"name\": \"a\", \"arguments\": {}}\n",
                      "<tool_call>\n{\"name\": \"a\", \"arguments\": {}}\n</tool_call><|im_end|>");
  CHECK(shown_calls(calls) == "a {}");
}

TEST_CASE("llama3: the whole message is a call, or several with semicolons") {
  CHECK(shown_calls(
            read("llama3", R"({"name": "search", "parameters": {"query": "weather {today}; \"now\""}})")) ==
        R"(search {"query":"weather {today}; \"now\""})");
  CHECK(shown_calls(read(
            "llama3", R"({"name": "a", "parameters": {"x": 1}}; {"name": "b", "arguments": {"y": [2]}})")) ==
        "a {\"x\":1}\nb {\"y\":[2]}");
  CHECK(shown_calls(read("llama3", R"({"type": "function", "name": "a", "parameters": {}})")) == "a {}");
  // <|python_tag|> is a special token.
  const ToolCalls tagged =
      read_tool_calls(ToolFormat::kLlama3, R"({"name": "a", "parameters": {"x": 1}})",
                      R"(<|python_tag|>{"name": "a", "parameters": {"x": 1}}<|eom_id|>)");
  CHECK(shown_calls(tagged) == "a {\"x\":1}");
  const ToolCalls several =
      read_tool_calls(ToolFormat::kLlama3, "", R"(<|python_tag|>{"name": "a"}; {"name": "b"};<|eom_id|>)");
  CHECK(shown_calls(several) == "a {}\nb {}");
  // Python itself behind the tag is no call of a tool that was given.
  const ToolCalls python = read_tool_calls(ToolFormat::kLlama3, "brave_search.call(query=\"x\")",
                                           "<|python_tag|>brave_search.call(query=\"x\")<|eom_id|>");
  REQUIRE(python.calls.size() == 1);
  CHECK(contains(python.calls[0].error, "not valid JSON"));

  for (const char* text : {"The answer is {4}.", "{1, 2}", "{\"answer\": 4}", "Sure: {\"name\": \"a\"}", ""})
    CHECK(read("llama3", text).calls.empty());
}

TEST_CASE("mistral: a list behind [TOOL_CALLS], or a name and [ARGS] each") {
  const std::string list =
      R"([TOOL_CALLS] [{"name": "add", "arguments": {"a": 3.5, "b": 4}, "id": "VvvODy9mT"}, {"name": "x"}]</s>)";
  const ToolCalls old = read_tool_calls(ToolFormat::kMistral, "", list);
  CHECK(shown_calls(old) == "add {\"a\":3.5,\"b\":4} VvvODy9mT\nx {}");
  CHECK(old.content.empty());
  const ToolCalls v11 = read_tool_calls(
      ToolFormat::kMistral, "I add.",
      R"(I add.[TOOL_CALLS]add[ARGS]{"a": {"b": "[TOOL_CALLS]x[ARGS]{}"}}[TOOL_CALLS]mul[CALL_ID]abcdefghi[ARGS]{"x": 2}</s>)");
  CHECK(shown_calls(v11) == "add {\"a\":{\"b\":\"[TOOL_CALLS]x[ARGS]{}\"}}\nmul {\"x\":2} abcdefghi");
  CHECK(v11.content == "I add.");
  CHECK(shown_calls(read("mistral", R"([TOOL_CALLS]add{"a": 1})")) == "add {\"a\":1}");
  CHECK(read("mistral", "It is 4.").content == "It is 4.");
  for (const char* text :
       {"[TOOL_CALLS]", "[TOOL_CALLS]add", "[TOOL_CALLS]add[ARGS]", "[TOOL_CALLS]add[ARGS]{\"a\"",
        "[TOOL_CALLS][ARGS][CALL_ID]", "[TOOL_CALLS] [{\"name\": \"a\""}) {
    CAPTURE(text);
    const ToolCalls broken = read("mistral", text);
    REQUIRE(broken.calls.size() == 1);
    CHECK(!broken.calls[0].error.empty());
  }
}

TEST_CASE("json: a call where a line begins, in a block or without one") {
  CHECK(shown_calls(read("json", R"({"name": "a", "arguments": {"x": 1}})")) == "a {\"x\":1}");
  const ToolCalls fenced =
      read("json",
           "I call it.\n```json\n{\n  \"name\": \"a\",\n  \"arguments\": {\"x\": 1}\n}\n```\nThen we see.");
  CHECK(shown_calls(fenced) == "a {\"x\":1}");
  CHECK(fenced.content == "I call it.\nThen we see.");
  CHECK(shown_calls(read("json", "{\"name\": \"a\"}\n{\"name\": \"b\"}")) == "a {}\nb {}");
  CHECK(shown_calls(read("json", "```\n[{\"name\": \"a\"}, {\"name\": \"b\"}]\n```")) == "a {}\nb {}");
  const ToolCalls other = read("json", "```json\n{\"answer\": 4}\n```\nor {\"name\": \"a\"}");
  CHECK(other.calls.empty());
  CHECK(other.content == "```json\n{\"answer\": 4}\n```\nor {\"name\": \"a\"}");
}

TEST_CASE("calls that cannot be made say why, in their place") {
  const ToolCalls bad = read("hermes",
                             "<tool_call>{\"name\": \"a\", \"arguments\": {\"x\": }}</tool_call>"
                             "<tool_call>{\"name\": \"b\", \"arguments\": [1]}</tool_call>"
                             "<tool_call>{\"arguments\": {}}</tool_call>"
                             "<tool_call>7</tool_call>"
                             "<tool_call>{\"name\": \"c\", \"arguments\": \"x\"}</tool_call>"
                             "<tool_call>{\"name\": 7}</tool_call>"
                             "<tool_call>{\"name\": \"d\", \"arguments\": {\"x\": 1, \"x\": 2}}</tool_call>"
                             "<tool_call>{\"name\": \"e\", \"arguments\": \"[]\"}</tool_call>"
                             "<tool_call>{\"name\": \"good\"}</tool_call>");
  REQUIRE(bad.calls.size() == 9);
  CHECK(contains(bad.calls[0].error, "the call: not valid JSON at column"));
  CHECK(bad.calls[0].written == "{\"name\": \"a\", \"arguments\": {\"x\": }}");
  CHECK(bad.calls[1].error == "the arguments are no JSON object");
  CHECK(bad.calls[1].name == "b");
  CHECK(bad.calls[2].error == "the call has no \"name\"");
  CHECK(bad.calls[3].error == "the call is no JSON object with \"name\" and \"arguments\"");
  CHECK(contains(bad.calls[4].error, "the arguments: not valid JSON"));
  CHECK(bad.calls[5].error == "the call has no \"name\"");
  CHECK(contains(bad.calls[6].error, "stands twice"));
  CHECK(bad.calls[7].error == "the arguments are no JSON object");
  CHECK(bad.calls[7].arguments.is_object());
  CHECK(bad.calls[8].error.empty());
}

TEST_CASE("what is thought calls nothing") {
  const std::string call = "<tool_call>{\"name\": \"a\"}</tool_call>";
  const ToolCalls thought = read("hermes", "<think>\nI could " + call + "\n</think>\n\nNo." + call);
  CHECK(shown_calls(thought) == "a {}");
  CHECK(thought.content == "<think>\nI could " + call + "\n</think>\n\nNo.");
  CHECK(read("hermes", "<think>\n" + call).calls.empty());                // thoughts that do not end
  CHECK(shown_calls(read("hermes", "so\n</think>\n" + call)) == "a {}");  // the prompt began them
}

TEST_CASE("hostile texts take little time and give few calls") {
  std::string many, open = "[TOOL_CALLS]", braces;
  for (int i = 0; i < 20000; ++i) {
    many += "<tool_call>{\"name\": \"a\"}</tool_call>";
    open += "[TOOL_CALLS]";
    braces += "{\"name\": [";
  }
  const ToolCalls all = read("hermes", many);
  REQUIRE(all.calls.size() == kMaxToolCalls + 1);
  CHECK(all.calls.back().error == "more than 128 calls");
  CHECK(all.calls.front().error.empty());
  for (const char* format : {"hermes", "llama3", "mistral", "json"}) {
    CHECK(read(format, many).calls.size() <= kMaxToolCalls + 1);
    CHECK(read(format, open).calls.size() <= kMaxToolCalls + 1);
    CHECK(read(format, braces).calls.size() <= kMaxToolCalls + 1);
    CHECK(read(format, "<tool_call>" + braces).calls.size() <= kMaxToolCalls + 1);
    CHECK(read(format, "<|python_tag|>" + std::string(1 << 20, '[')).calls.size() <= kMaxToolCalls + 1);
  }
  CHECK_THROWS_AS(tool_format("xml"), UserError);
}

TEST_CASE("the format of a template is the one it writes calls in") {
  const std::pair<std::string, ToolFormat> known[] = {
      {"qwen2_5", ToolFormat::kHermes},  {"qwen3", ToolFormat::kHermes}, {"llama3", ToolFormat::kLlama3},
      {"mistral", ToolFormat::kMistral}, {"chatml", ToolFormat::kJson},  {"smollm2", ToolFormat::kJson},
      {"zephyr", ToolFormat::kJson}};
  FakeTokenizer tokenizer({"<|im_end|>", "<s>", "</s>"});
  tokenizer.bos_ = 257, tokenizer.eos_ = 258;
  for (const auto& [name, format] : known) {
    CAPTURE(name);
    const ChatTemplate chat(read_file(test_file("text/golden/templates/" + name + ".jinja")));
    CHECK(tool_format_of(chat, tokenizer) == format);
    CHECK(shows_tools(chat, tokenizer) == (format != ToolFormat::kJson));
    CHECK(shows_results(chat, tokenizer) == (name != "zephyr"));
  }
}

TEST_CASE("what is said of tools says how they are called, so that the reader reads it") {
  const Json tools = Json::array({{{"type", "function"}, {"function", {{"name", "add"}}}}});
  for (const std::string& name : tool_format_names()) {
    CAPTURE(name);
    const std::string text = tools_text(tool_format(name), tools);
    CHECK(contains(text, R"({"type":"function","function":{"name":"add"}})"));
    CHECK(contains(text, "\"name\": \"...\""));
  }
}
