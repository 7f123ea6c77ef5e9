// The environment in which the policy calls tools.
#include "env/tools.h"

#include "base/error.h"
#include "base/file.h"
#include "env/conversations.h"
#include "temp_folder.h"
#include "test.h"
#include "text/fake_tokenizer.h"
#include "text/tool_templates.h"
#include "tools_of.h"

using namespace temper;

namespace {

const Record kRecord{
    {{"prompt", Json::array({{{"role", "user"}, {"content", "What is 6 * 7?"}}})}}, "test", 1};

FakeTokenizer some_tokenizer() {
  FakeTokenizer tokenizer({"<|im_start|>", "<|im_end|>", "<s>", "</s>", "[TOOL_CALLS]", "[TOOL_RESULTS]",
                           "[/TOOL_RESULTS]", "[INST]", "[/INST]", "<|eot_id|>", "<|start_header_id|>",
                           "<|end_header_id|>"});
  tokenizer.bos_ = 258, tokenizer.eos_ = 259;
  return tokenizer;
}

ChatTemplate real_template(const std::string& name) {
  return ChatTemplate(read_file(test_file("text/golden/templates/" + name + ".jinja")));
}

std::unique_ptr<EnvironmentSource> source_of(const Json& tools, const Json& more = Json::object(),
                                             const ChatTemplate* chat = nullptr) {
  auto source = tools_options(tools, more)->make();
  dynamic_cast<Introduced&>(*source).meet(some_tokenizer(), chat);
  return source;
}

std::string said_first(const EnvironmentSource& source) {
  return dynamic_cast<const Introduced&>(source).system();
}

std::unique_ptr<Environment> conversation_of(EnvironmentSource& source) {
  return source.start({kRecord, RandomStream(1, "test"), 1, false});
}

PolicyTurn turn_of(const std::string& text, bool last = false) {
  return {text, text, FinishReason::kEnd, 5, 0, last};
}

std::string call_of(const std::string& name, const Json& arguments) {
  return dump_line({{"name", name}, {"arguments", arguments}}) + "\n";
}

// What is answered to one turn.
Reply reply_to(const std::string& text, const Json& tools, const Json& more = Json::object()) {
  const auto source = source_of(tools, more);
  return conversation_of(*source)->reply(turn_of(text));
}

std::string content_of(const Reply& reply) {
  REQUIRE(reply.messages.size() == 2);
  return reply.messages[1]["content"];
}

// What the chat template is given.
Json tools_schemas() {
  const ChatTemplate qwen = real_template("qwen2_5");
  return source_of(Json::array({{{"kind", "calculator"}}}), Json::object(), &qwen)->tools();
}

const Json kCalculator = Json::array({{{"kind", "calculator"}}});

}  // namespace

TEST_CASE("tools: a call is answered with its result, a turn without one ends the conversation") {
  const auto source = source_of(kCalculator);
  CHECK(!source->external());
  const auto conversation = conversation_of(*source);
  const Reply reply =
      conversation->reply(turn_of("I work it out.\n" + call_of("calculator", {{"expression", "6*7"}})));
  CHECK(!reply.over);
  CHECK(!reply.reward);
  REQUIRE(reply.messages.size() == 2);
  CHECK(dump_line(reply.messages[0]) ==
        R"({"role":"assistant","content":"I work it out.","tool_calls":[{"id":"call00001","type":"function",)"
        R"("function":{"name":"calculator","arguments":{"expression":"6*7"}}}]})");
  CHECK(dump_line(reply.messages[1]) ==
        R"({"role":"tool","name":"calculator","content":"42","tool_call_id":"call00001"})");
  CHECK(reply.figures == std::map<std::string, double>{{"tool_calls", 1}, {"tool_errors", 0}});
  const Reply end = conversation->reply(turn_of("It is 42."));
  CHECK(end.over);
  CHECK(end.messages.empty());
  CHECK(end.figures == std::map<std::string, double>{{"tool_calls", 0}, {"tool_errors", 0}});
}

TEST_CASE("tools: several calls of a turn, results in their order, ids of their own") {
  const Reply reply = reply_to(
      "<tool_call>{\"name\": \"calculator\", \"arguments\": {\"expression\": \"1/0\"}, \"id\": "
      "\"mine\"}</tool_call>"
      "<tool_call>{\"name\": \"calculator\", \"arguments\": {\"expression\": \"2+2\"}}</tool_call>"
      "<tool_call>{\"name\": \"calculator\", \"arguments\": {\"expression\": \"3+3\"}}</tool_call>",
      kCalculator, {{"format", "hermes"}, {"max_calls", 2}});
  REQUIRE(reply.messages.size() == 4);
  CHECK(reply.messages[1]["content"] == "error: division by zero at character 4");
  CHECK(reply.messages[1]["tool_call_id"] == "mine");
  CHECK(reply.messages[2]["content"] == "4");
  CHECK(reply.messages[2]["tool_call_id"] == "call00001");
  CHECK(reply.messages[3]["content"] == "error: only 2 calls are made in one turn");
  CHECK(reply.figures == std::map<std::string, double>{{"tool_calls", 3}, {"tool_errors", 2}});
}

TEST_CASE("tools: calls that cannot be made are answered with what is wrong") {
  CHECK(content_of(reply_to(call_of("calc", {{"expression", "1"}}), kCalculator)) ==
        "error: there is no tool \"calc\"; there are: calculator");
  CHECK(
      content_of(reply_to(call_of("calculator", {{"expr", "1"}}), kCalculator)) ==
      "error: the arguments of \"calculator\" do not fit: expected "
      R"({"type":"object","properties":{"expression":{"type":"string","description":"numbers, + - * / ^ and )"
      R"(parentheses"}},"required":["expression"]}, found {"expr":"1"})");
  CHECK(content_of(reply_to(call_of("calculator", {{"expression", 1}}), kCalculator))
            .starts_with("error: the arguments of \"calculator\" do not fit"));
  CHECK(content_of(reply_to("{\"name\": \"calculator\", \"arguments\": {\"expression\": }}", kCalculator))
            .starts_with("error: the call: not valid JSON at column"));
  const Reply broken = reply_to("{\"name\": \"calculator\"", kCalculator);
  CHECK(content_of(broken).starts_with("error: the call: not valid JSON"));
  CHECK(broken.messages[0]["tool_calls"][0]["function"]["arguments"] == "{\"name\": \"calculator\"");
  CHECK(broken.figures.at("tool_errors") == 1);
  // Any bytes: the policy may write halves of characters.
  CHECK(content_of(reply_to("{\"name\": \"\xff\"}", kCalculator))
            .starts_with("error: the call: not valid JSON"));
}

TEST_CASE("tools: in a turn that nobody answers, nothing is called") {
  const TempFolder folder;
  const Json touch =
      Json::array({{{"kind", "command"}, {"name", "touch"}, {"command", {"touch", folder.text("x")}}}});
  const auto source = source_of(touch);
  CHECK(source->external());
  const Reply reply = conversation_of(*source)->reply(turn_of(call_of("touch", Json::object()), true));
  CHECK(reply.over);
  REQUIRE(reply.messages.size() == 1);
  CHECK(reply.messages[0]["tool_calls"].size() == 1);
  CHECK(!std::filesystem::exists(folder / "x"));
  CHECK(conversation_of(*source)->reply(turn_of(call_of("touch", Json::object()))).messages.size() == 2);
  CHECK(std::filesystem::exists(folder / "x"));
}

TEST_CASE("tools: long results lose their middle") {
  CHECK(cut_in_the_middle("abcdef", 6) == "abcdef");
  CHECK(cut_in_the_middle("abcdefg", 3) == "ab\n[4 characters are left out here]\ng");
  CHECK(cut_in_the_middle("éèêë", 2) == "é\n[2 characters are left out here]\në");
  CHECK(cut_in_the_middle("abc", 1) == "a\n[2 characters are left out here]\n");
  CHECK(cut_in_the_middle("a\xff", 9) == "a\xEF\xBF\xBD");
  const Json megabyte =
      Json::array({{{"kind", "command"},
                    {"name", "big"},
                    {"output_bytes", 4 << 20},
                    {"command", {"/bin/sh", "-c", "head -c 2000000 /dev/zero | tr '\\0' x"}}}});
  const std::string text = content_of(reply_to(call_of("big", Json::object()), megabyte));
  CHECK(text ==
        std::string(2000, 'x') + "\n[1996000 characters are left out here]\n" + std::string(2000, 'x'));
}

TEST_CASE("tools: what tells the policy of them") {
  const ChatTemplate qwen = real_template("qwen2_5"), zephyr = real_template("zephyr");
  const auto by_template = source_of(kCalculator, Json::object(), &qwen);
  CHECK(said_first(*by_template).empty());
  REQUIRE(by_template->tools().size() == 1);
  CHECK(by_template->tools()[0]["type"] == "function");
  CHECK(by_template->tools()[0]["function"]["name"] == "calculator");
  CHECK(by_template->tools()[0]["function"]["parameters"]["required"] == Json::array({"expression"}));

  for (const ChatTemplate* chat : std::vector<const ChatTemplate*>{&zephyr, nullptr}) {
    const auto by_system = source_of(kCalculator, Json::object(), chat);
    CHECK(by_system->tools().is_null());
    CHECK(said_first(*by_system).find("\"name\":\"calculator\"") != std::string::npos);
    CHECK(said_first(*by_system).find("{\"name\": \"...\", \"arguments\": {...}}") != std::string::npos);
  }
  const auto silent = source_of(kCalculator, {{"describe", "none"}}, &qwen);
  CHECK(silent->tools().is_null());
  CHECK(said_first(*silent).empty());
  const auto forced = source_of(kCalculator, {{"describe", "system"}}, &qwen);
  CHECK(forced->tools().is_null());
  CHECK(said_first(*forced).find("<tool_call>") != std::string::npos);  // in the template's own format
  CHECK_THROWS_WITH_AS(source_of(kCalculator, {{"describe", "template"}}, &zephyr),
                       doctest::Contains("environment.describe: the chat template says nothing of tools"),
                       UserError);
  const Record text{{{"prompt", "What is 6 * 7?"}}, "test.jsonl", 3};
  CHECK_THROWS_WITH_AS(by_template->check(text), doctest::Contains("test.jsonl:3: the prompt is a text"),
                       UserError);
  CHECK(!by_template->check(kRecord));
  CHECK(!silent->check(text));
}

TEST_CASE("tools: bad options are named") {
  CHECK_THROWS_WITH_AS(tools_options(Json::array()),
                       doctest::Contains("environment.tools: expected at least one"), UserError);
  CHECK_THROWS_WITH_AS(tools_options(Json::array({{{"kind", "calculater"}}})),
                       doctest::Contains("calculator"), UserError);
  CHECK_THROWS_WITH_AS(tools_options(kCalculator, {{"format", "xml"}}), doctest::Contains("hermes"),
                       UserError);
  CHECK_THROWS_WITH_AS(
      tools_options(Json::array({{{"kind", "calculator"}}, {{"kind", "calculator"}}}))->make(),
      doctest::Contains("environment.tools: two tools are called \"calculator\""), UserError);
  const auto two =
      source_of(Json::array({{{"kind", "calculator"}}, {{"kind", "calculator"}, {"name", "b"}}}));
  CHECK(said_first(*two).find("\"name\":\"b\"") != std::string::npos);
}

TEST_CASE("tools: whole conversations with real templates") {
  // What the policy writes in the template's own format, and what then stands behind it.
  struct Case {
    std::string name, call, end, behind;
  };
  const std::string call = R"({"name": "calculator", "arguments": {"expression": "6*7"}})";
  const std::vector<Case> cases = {
      {"qwen2_5", "<tool_call>\n" + call + "\n</tool_call>", "<|im_end|>",
       "\n<|im_start|>user\n<tool_response>\n42\n</tool_response><|im_end|>\n<|im_start|>assistant\n"},
      {"qwen3", "<tool_call>\n" + call + "\n</tool_call>", "<|im_end|>",
       "\n<|im_start|>user\n<tool_response>\n42\n</tool_response><|im_end|>\n<|im_start|>assistant\n"},
      {"llama3", R"({"name": "calculator", "parameters": {"expression": "6*7"}})", "<|eot_id|>",
       "<|start_header_id|>ipython<|end_header_id|>\n\n\"42\"<|eot_id|>"
       "<|start_header_id|>assistant<|end_header_id|>\n\n"},
      {"mistral", "[TOOL_CALLS][" + call + "]", "</s>",
       "[TOOL_RESULTS]{\"content\": 42, \"call_id\": \"call0000N\"}[/TOOL_RESULTS]"},
      {"zephyr", call, "</s>", "\n<|user|>\n42</s>\n<|assistant|>\n"}};
  for (const Case& c : cases) {
    CAPTURE(c.name);
    const FakeTokenizer tokenizer = some_tokenizer();
    const ChatTemplate chat = real_template(c.name);
    const auto options = tools_options(kCalculator);
    const auto source = options->make();
    EncodeSettings settings{.max_tokens = 100000};
    std::vector<Record> records = {kRecord};
    introduce(*source, tokenizer, &chat, settings, {&records});
    const RecordEncoder encoder(tokenizer, &chat, settings);
    const std::string prompt = tokenizer.decode(encoder.prompt(records[0]));
    CHECK(prompt.find("Works out an arithmetic expression exactly.") != std::string::npos);
    CHECK(prompt.find("What is 6 * 7?") != std::string::npos);

    const std::shared_ptr<const Record> record(std::shared_ptr<const Record>(), &records[0]);
    Conversations conversations(*source, encoder, {{record, 0}}, {});
    const auto said = [&](std::string text) {
      const std::string raw = text + c.end;
      if (c.name == "mistral" && text.starts_with("[TOOL_CALLS]")) text = text.substr(12);  // a special token
      const auto last = tokenizer.encode(c.end, {.parse_special = true});
      conversations.ended(0, 0, {text, raw, FinishReason::kEnd, 5, last.front(), false});
      return tokenizer.decode(conversations.answer(0, 0));
    };
    for (const char* number :
         {"1", "2"}) {  // twice, so that the first stands in what is rendered for the second
      std::string want = c.behind;
      if (const size_t at = want.find("0N"); at != std::string::npos)
        want.replace(at, 2, "0" + std::string(number));
      CHECK(said(c.call) == want);
    }
    CHECK(said("It is 42.").empty());
    const Conversation told = conversations.conversation(0, 0);
    CHECK(told.messages.size() == 5);
    CHECK(told.messages[2]["tool_calls"][0]["id"] == "call00002");
    CHECK(told.messages[4] == Json{{"role", "assistant"}, {"content", "It is 42."}});
    CHECK(told.figures == std::map<std::string, double>{{"tool_calls", 2}, {"tool_errors", 0}, {"turns", 3}});
    CHECK(!told.score());
  }
}

TEST_CASE("tools: a string prompt, and two calls in one turn of a template that takes one") {
  const FakeTokenizer tokenizer = some_tokenizer();
  std::vector<Record> texts = {{{{"prompt", "6 * 7 = "}}, "test", 1}}, chats = {kRecord};
  const auto options = tools_options(kCalculator);
  const auto source = options->make();
  EncodeSettings settings{.max_tokens = 100000};
  introduce(*source, tokenizer, nullptr, settings, {&texts});
  const RecordEncoder encoder(tokenizer, nullptr, settings);
  const std::string prompt = tokenizer.decode(encoder.prompt(texts[0]));
  CHECK(prompt.starts_with("You can call these tools:\n{"));
  CHECK(prompt.ends_with("\n\n6 * 7 = "));
  Conversations conversations(*source, encoder, {{{std::shared_ptr<const Record>(), &texts[0]}, 0}}, {});
  conversations.ended(0, 0, turn_of(call_of("calculator", {{"expression", "6*7"}})));
  CHECK(tokenizer.decode(conversations.answer(0, 0)) == "\n42\n");

  const ChatTemplate llama = real_template("llama3");
  const auto other = options->make();
  EncodeSettings with_tools{.max_tokens = 100000};
  introduce(*other, tokenizer, &llama, with_tools, {&chats});
  const RecordEncoder chat_encoder(tokenizer, &llama, with_tools);
  Conversations two(*other, chat_encoder, {{{std::shared_ptr<const Record>(), &chats[0]}, 0}}, {});
  const std::string call = R"({"name": "calculator", "parameters": {"expression": "1"}})";
  for (int i = 0; i < 2; ++i) {
    two.ended(0, 0, turn_of(call + "; " + call));
    const std::string behind = tokenizer.decode(two.answer(0, 0));
    CHECK(behind ==
          "<|eot_id|><|start_header_id|>ipython<|end_header_id|>\n\n\"1\"<|eot_id|><|start_header_id|>ipython"
          "<|end_header_id|>\n\n\"1\"<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n");
  }
}

TEST_CASE("what an environment says first stands in front of a prompt's own words") {
  const FakeTokenizer tokenizer = some_tokenizer();
  const auto prompt = [&](const Json& json) {
    EncodeSettings settings;
    std::vector<Record> records = {{json, "test.jsonl", 1}}, none;
    introduce(*tools_options(kCalculator)->make(), tokenizer, nullptr, settings, {&records, &none});
    CHECK(settings.template_extra.is_null());
    return records[0].json;
  };
  const std::string said = tools_text(ToolFormat::kJson, tools_schemas());
  const Json user = {{"role", "user"}, {"content", "q"}},
             brief = {{"role", "system"}, {"content", "Be brief."}};
  const Json told = {{"role", "system"}, {"content", said}};
  CHECK(prompt({{"prompt", Json::array({user})}})["prompt"] == Json::array({told, user}));
  CHECK(prompt({{"messages", Json::array({user})}})["messages"] == Json::array({told, user}));
  CHECK(prompt({{"prompt", Json::array({brief, user})}})["prompt"] ==
        Json::array({{{"role", "system"}, {"content", said + "\n\nBe brief."}}, user}));
  const Json parts = Json::array({{{"type", "text"}, {"text", "Be brief."}}});
  const Json joined = prompt({{"prompt", Json::array({{{"role", "system"}, {"content", parts}}, user})}});
  CHECK(joined["prompt"][0]["content"] ==
        Json::array({{{"type", "text"}, {"text", said + "\n\n"}}, parts[0]}));
  CHECK(prompt({{"prompt", "q"}})["prompt"] == said + "\n\nq");
  CHECK_THROWS_WITH_AS(prompt({{"text", "x"}}),
                       doctest::Contains("test.jsonl:1: a conversation needs \"prompt\" or \"messages\""),
                       UserError);
}
