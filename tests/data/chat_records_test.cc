// Records of chats as examples, pairs and prompts: answers that continue a message, chats without an answer,
// templates whose generation prompt writes more than stored turns.
#include "base/error.h"
#include "data/records.h"
#include "data/records_of.h"
#include "test.h"
#include "text/fake_tokenizer.h"

using namespace temper;

namespace {

// As DeepSeek-R1-Distill.
const char* const kThinks =
    "{%- for m in messages %}{%- if m.role == 'user' %}{{ '<u>' + m.content }}{%- else %}"
    "{{ '<a>' + m.content + '<e>\n' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<a><think>\n' }}{%- endif %}";

struct ChatFixture {
  FakeTokenizer tokenizer{{"<u>", "<a>", "<e>"}, {"<think>"}};
  ChatTemplate thinks{kThinks};

  RecordEncoder encoder(EncodeSettings settings = {}) const {
    return RecordEncoder(tokenizer, &thinks, std::move(settings));
  }
  std::string text(const std::vector<int64_t>& ids) const { return tokenizer.decode(ids, true); }
  // Targets in brackets.
  std::string shown(const std::vector<int64_t>& ids, const std::vector<bool>& target) const {
    std::string out;
    bool open = false;
    for (size_t i = 0; i < ids.size(); ++i) {
      if (target[i] != open) out += open ? "]" : "[";
      open = target[i];
      out += tokenizer.piece(ids[i]);
    }
    return out + (open ? "]" : "");
  }
  std::string supervised(const std::string& json, EncodeSettings settings = {}) const {
    const Example e = encoder(std::move(settings)).supervised(record(json));
    return shown(e.ids, e.target);
  }
  std::string pair(const std::string& json) const {
    const auto [chosen, rejected] = encoder().preference(record(json));
    CHECK(chosen.prompt == rejected.prompt);
    return text(chosen.prompt) + " | " + shown(chosen.completion, chosen.target) + " | " +
           shown(rejected.completion, rejected.target);
  }
};

const std::string kQuestion = R"({"role":"user","content":"q"})";
std::string says(const std::string& text) {
  return R"({"role":"assistant","content":")" + text + R"("})";
}

}  // namespace

TEST_CASE_FIXTURE(ChatFixture, "templates whose generation prompt opens a thought train on stored answers") {
  const std::string chat = R"({"messages":[)" + kQuestion + "," + says("4") + "]}";
  CHECK(supervised(chat) == "<u>q<a>[4<e>]\n");
  CHECK(supervised(chat, {.targets = "completion"}) == "<u>q<a>[4<e>]\n");
  CHECK(supervised(chat, {.targets = "all"}) == "[<u>q<a>4<e>\n]");
  CHECK(supervised(R"({"prompt":[)" + kQuestion + R"(],"completion":[)" + says("4") + "]}") ==
        "<u>q<a>[4<e>]\n");
  CHECK(pair(R"({"prompt":[)" + kQuestion + R"(],"chosen":[)" + says("4") + R"(],"rejected":[)" + says("5") +
             "]}") == "<u>q<a> | [4<e>]\n | [5<e>]\n");
  // One that has the thought begins where the other does.
  CHECK(pair(R"({"prompt":[)" + kQuestion + R"(],"chosen":[)" + says("<think>\\nx</think>4") +
             R"(],"rejected":[)" + says("5") + "]}") == "<u>q<a> | [<think>\nx</think>4<e>]\n | [5<e>]\n");
  CHECK(encoder().prompt_text(record(R"({"prompt":[)" + kQuestion + "]}")) == "<u>q<a><think>\n");
}

TEST_CASE_FIXTURE(ChatFixture, "with all targets, no turn needs to be found") {
  const ChatTemplate counts(
      "{% for m in messages %}{{ m.content ~ '|' ~ messages | length ~ '|' }}{% endfor %}");
  const Record chat = record(R"({"messages":[)" + kQuestion + "," + says("4") + "]}");
  const Example all = RecordEncoder(tokenizer, &counts, {.targets = "all"}).supervised(chat);
  CHECK(shown(all.ids, all.target) == "[q|2|4|2|]");
  try {
    (void)RecordEncoder(tokenizer, &counts, {}).supervised(chat);
    FAIL("no error");
  } catch (const UserError& error) {
    const std::string message = error.what();
    CHECK(message.find("f.jsonl:3: chat template: the beginning of") == 0);
    CHECK(message.find("set targets to \"all\"") != std::string::npos);
  }
  const auto [chosen, rejected] = RecordEncoder(tokenizer, &counts, {})
                                      .preference(record(R"({"prompt":[)" + kQuestion + R"(],"chosen":[)" +
                                                         says("4") + R"(],"rejected":[)" + says("5") + "]}"));
  CHECK(shown(chosen.completion, chosen.target) == "[2|4|2|]");
  CHECK(shown(rejected.completion, rejected.target) == "[2|5|2|]");
}

TEST_CASE_FIXTURE(ChatFixture, "a prompt that ends in the assistant's words is continued") {
  const std::string prompt = R"("prompt":[)" + kQuestion + "," + says("It is") + "]";
  CHECK(encoder().prompt_text(record("{" + prompt + R"(,"answer":"4"})")) == "<u>q<a>It is");
  const std::string pair_of = "{" + prompt + R"(,"completion":[)" + says(" 4") + "]}";
  CHECK(encoder().prompt_text(record(pair_of)) == "<u>q<a>It is");
  CHECK(supervised(pair_of) == "<u>q<a>It is[ 4<e>]\n");
  CHECK(supervised(pair_of, {.targets = "all"}) == "[<u>q<a>It is 4<e>\n]");
  CHECK(pair("{" + prompt + R"(,"chosen":[)" + says(" 4") + R"(],"rejected":[)" + says(" 5") + "]}") ==
        "<u>q<a>It is | [ 4<e>]\n | [ 5<e>]\n");
  // What follows the answer belongs to the completion, the user's turn in it is no target.
  CHECK(supervised("{" + prompt + R"(,"completion":[)" + says(" 4") + "," + kQuestion + "," + says("x") +
                   "]}") == "<u>q<a>It is[ 4<e>]\n<u>q<a>[x<e>]\n");
  // A message of tool calls is whole, and the messages of a whole chat are.
  CHECK(encoder().prompt_text(record(R"({"prompt":[)" + kQuestion +
                                     R"(,{"role":"assistant","content":"x","tool_calls":[{"a":1}]}]})")) ==
        "<u>q<a>x<e>\n<a><think>\n");
  CHECK(encoder().prompt_text(record(R"({"messages":[)" + kQuestion + "," + says("It is") + "]}")) ==
        "<u>q<a><think>\n");
}

TEST_CASE_FIXTURE(ChatFixture, "a chat without an assistant turn is learnt whole unless told otherwise") {
  const std::string chat = R"({"messages":[)" + kQuestion + "]}";
  CHECK(supervised(chat) == "[<u>q]");
  CHECK(encoder().learnt_whole(record(chat)));
  CHECK(!encoder({.targets = "assistant"}).learnt_whole(record(chat)));
  CHECK(!encoder().learnt_whole(record(R"({"messages":[)" + kQuestion + "," + says("4") + "]}")));
  CHECK(!encoder().learnt_whole(record(R"({"text":"x"})")));
}

TEST_CASE_FIXTURE(ChatFixture, "a string prompt beside whole chats is what they begin with") {
  const std::string chats =
      R"("chosen":[)" + kQuestion + "," + says("4") + R"(],"rejected":[)" + kQuestion + "," + says("5") + "]";
  const std::string want = "<u>q<a> | [4<e>]\n | [5<e>]\n";
  CHECK(record_kind(record(R"({"prompt":"q",)" + chats + "}")) == RecordKind::kPreference);
  CHECK(pair(R"({"prompt":"q",)" + chats + "}") == want);
  CHECK(pair("{" + chats + "}") == want);
  CHECK(pair(R"({"prompt":null,)" + chats + "}") == want);
  CHECK(encoder().prompt_text(record(R"({"prompt":"q",)" + chats + "}")) == "<u>q<a><think>\n");
  CHECK(encoder().prompt_text(record(R"({"prompt":"q","chosen":"4","rejected":"5"})")) == "q");
}
