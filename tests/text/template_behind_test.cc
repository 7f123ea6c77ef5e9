// What stands behind an assistant's words, by transformers (scripts/oracles/template_behind.py).
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "fake_tokenizer.h"
#include "test.h"
#include "text/inspect.h"
#include "text/template.h"

using namespace temper;

TEST_CASE("behind an answer stands what transformers renders there") {
  const Json file = read_json_file(test_file("text/golden/behind.json"));
  const Json turns = read_json_file(test_file("text/golden/turns.json"));
  size_t tools = 0;
  for (const Json& want : file["cases"]) {
    const std::string name = want["template"];
    const Json& chat = file["chats"][want["chat"].get<size_t>()];
    CAPTURE(name);
    CAPTURE(want["chat"].get<int>());
    const FakeTokenizer tokenizer(want["special"].get<std::vector<std::string>>());
    const ChatTemplate written(name.ends_with(".jinja")
                                   ? read_file(test_file("text/golden/templates/" + name))
                                   : turns["templates"][name].get<std::string>());
    const size_t answer = chat["written"];
    const auto ids = written.encode_behind(tokenizer, chat["messages"], answer, file["extra"]);
    CHECK(tokenizer.decode(ids) == want["behind"].get<std::string>());
    // The same tokens as those of the whole conversation: words of messages are never special tokens.
    const auto whole = written.encode_prompt(tokenizer, chat["messages"], false, file["extra"]);
    REQUIRE(whole.size() > ids.size());
    CHECK(std::equal(ids.rbegin(), ids.rend(), whole.rbegin()));
    tools += chat["messages"].back()["role"] == "tool" ? 1 : 0;
    // As temper-inspect shows it.
    const Json rows = inspect_behind(tokenizer, written, chat["messages"], file["extra"]);
    CHECK(rows.back()["message"] == answer);
    CHECK(rows.back()["text"] == want["behind"]);
  }
  CHECK(tools > 30);
}

TEST_CASE("behind an answer: several calls in an old one do not stand in the way") {
  const ChatTemplate llama(read_file(test_file("text/golden/templates/llama3.jinja")));
  const FakeTokenizer tokenizer({"<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"});
  const Json call = {{"id", "call00001"}, {"function", {{"name", "a"}, {"arguments", Json::object()}}}};
  const Json two_calls = {{"role", "assistant"}, {"content", ""}, {"tool_calls", Json::array({call, call})}};
  const Json tool = {{"role", "tool"}, {"name", "a"}, {"content", "1"}, {"tool_call_id", "call00001"}};
  const Json messages =
      Json::array({{{"role", "user"}, {"content", "q"}}, two_calls, tool, tool, two_calls, tool});
  const Json extra = {{"bos_token", "<s>"}, {"date_string", "x"}};
  const std::string want =
      "<|eot_id|><|start_header_id|>ipython<|end_header_id|>\n\n\"1\"<|eot_id|><|start_header_id|>assistant"
      "<|end_header_id|>\n\n";
  CHECK(tokenizer.decode(llama.encode_behind(tokenizer, messages, 4, extra)) == want);
  const Json rows = inspect_behind(tokenizer, llama, messages, extra);
  REQUIRE(rows.size() == 2);
  CHECK(rows[0]["message"] == 1);
  CHECK(rows[1]["text"] == want);
}

TEST_CASE(
    "behind an answer: a role that the template leaves out is named, and what it refuses is its own word") {
  const ChatTemplate zephyr(read_file(test_file("text/golden/templates/zephyr.jinja")));
  const FakeTokenizer tokenizer({"</s>"});
  const Json user = {{"role", "user"}, {"content", "q"}}, answer = {{"role", "assistant"}, {"content", "a"}};
  const Json messages = Json::array({user, answer, {{"role", "tool"}, {"content", "1"}}});
  const Json extra = {{"eos_token", "</s>"}};
  CHECK_THROWS_WITH_AS(zephyr.encode_behind(tokenizer, messages, 1, extra),
                       doctest::Contains("it does not show what a message of role \"tool\" says"), UserError);
  const Json rows = inspect_behind(tokenizer, zephyr, messages, extra);
  REQUIRE(rows.size() == 1);
  CHECK(rows[0]["why"].get<std::string>().find("role \"tool\"") != std::string::npos);
  CHECK(inspect_behind(tokenizer, zephyr, Json::array({user, answer}), extra).empty());
  const ChatTemplate refuses("{{ raise_exception('no such chat') }}");
  CHECK_THROWS_WITH_AS(refuses.encode_behind(tokenizer, messages, 1, extra),
                       doctest::Contains("no such chat"), UserError);
}
