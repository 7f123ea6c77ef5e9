// Special tokens that strings spell out.
#include "data/special_tokens.h"

#include "base/error.h"
#include "data/records.h"
#include "data/records_of.h"
#include "test.h"
#include "text/fake_tokenizer.h"

using namespace temper;

namespace {

struct SpecialTokenFixture {
  FakeTokenizer tokenizer{{"<s>", "</s>", "<|im_start|>", "<|im_end|>"}, {"ab"}};
  ChatTemplate chatml{"chatml"};
  SpecialTokenFixture() {
    tokenizer.bos_ = *tokenizer.id("<s>");
    tokenizer.eos_ = *tokenizer.id("</s>");
  }
  RecordEncoder encoder(const std::string& special_tokens) const {
    return RecordEncoder(tokenizer, &chatml, {.special_tokens = special_tokens});
  }
  // Special tokens in double brackets.
  std::string shown(const std::vector<int64_t>& ids) const {
    std::string out;
    for (const int64_t id : ids)
      out += tokenizer.is_special(id) ? "<" + tokenizer.piece(id) + ">" : tokenizer.piece(id);
    return out;
  }
  std::string example(const std::string& json, const std::string& special_tokens = "auto") const {
    const Example e = encoder(special_tokens).supervised(record(json));
    std::string out = shown(e.ids);
    return out;
  }
};

}  // namespace

TEST_CASE_FIXTURE(SpecialTokenFixture, "rendered text holds the tokens that it spells out") {
  const std::string chat = R"({"text":"<|im_start|>user\nhi<|im_end|>\n"})";
  CHECK(example(chat) == "<<|im_start|>>user\nhi<<|im_end|>>\n<</s>>");
  CHECK(example(chat, "parse") == example(chat));
  CHECK(example(chat, "text") == "<|im_start|>user\nhi<|im_end|>\n<</s>>");
  // One begin and one end token.
  CHECK(example(R"({"text":"<s>hi</s>"})") == "<<s>>hi<</s>>");
  CHECK(example(R"({"text":"hi</s>"})") == "hi<</s>>");
  CHECK(example(R"({"text":"hi</s>"})", "text") == "hi</s><</s>>");
  // HTML, unless the text opens or closes with its token.
  CHECK(example(R"({"text":"an <s>old</s> price"})") == "an <s>old</s> price<</s>>");
  CHECK(example(R"({"text":"an <s>old</s> price"})", "parse") == "an <<s>>old<</s>> price<</s>>");
  CHECK(example(R"({"text":"<s>[INST] a [/INST] b </s><s>[INST] c [/INST]"})") ==
        "<<s>>[INST] a [/INST] b <</s>><<s>>[INST] c [/INST]<</s>>");
}

TEST_CASE_FIXTURE(SpecialTokenFixture,
                  "string prompts and completions are read alike in training and generation") {
  const std::string pair = R"({"prompt":"<|im_start|>q<|im_end|>","completion":"a<|im_end|>"})";
  CHECK(example(pair) == "<<|im_start|>>q<<|im_end|>>a<<|im_end|>><</s>>");
  CHECK(shown(encoder("auto").prompt(record(pair))) == "<<|im_start|>>q<<|im_end|>>");
  CHECK(shown(encoder("text").prompt(record(pair))) == "<|im_start|>q<|im_end|>");
  CHECK(example(R"({"prompt":"p","completion":"a</s>"})") == "pa<</s>>");
  // Each string is judged on its own, and no token grows over the border.
  CHECK(example(R"({"prompt":"an <s>x</s> p","completion":"a<|im_end|>"})") ==
        "an <s>x</s> pa<<|im_end|>><</s>>");
  CHECK(example(R"({"prompt":"<|im_start|>p<|im_","completion":"end|>a<|im_end|>"})") ==
        "<<|im_start|>>p<|im_end|>a<<|im_end|>><</s>>");
  // A prompt that ends in an end token keeps it.
  CHECK(shown(encoder("auto").prompt(record(R"({"prompt":"q</s>"})"))) == "q<</s>>");
  const auto [chosen, rejected] =
      encoder("auto").preference(record(R"({"prompt":"p<|im_end|>","chosen":"a</s>","rejected":"b"})"));
  CHECK(shown(chosen.prompt) + shown(chosen.completion) == "p<<|im_end|>>a<</s>>");
  CHECK(shown(rejected.completion) == "b<</s>>");
  CHECK(shown(encoder("auto")
                  .steps(record(R"({"prompt":"p","completions":["a"],"labels":[true]})"), {"a<|im_end|>"},
                         "<|im_start|>")
                  .completion) == "a<<|im_end|>><<|im_start|>>");
  CHECK_THROWS_WITH_AS(encoder("some"), doctest::Contains("special_tokens: expected one of"), UserError);
}

TEST_CASE_FIXTURE(SpecialTokenFixture, "the words of a chat never become special tokens") {
  const std::string chat =
      R"({"messages":[{"role":"user","content":"x<|im_end|>"},{"role":"assistant","content":"<s>"}]})";
  for (const char* choice : {"auto", "parse", "text"}) {
    CHECK(example(chat, choice) ==
          "<<|im_start|>>user\nx<|im_end|><<|im_end|>>\n<<|im_start|>>assistant\n<s><<|im_end|>>\n");
  }
}

TEST_CASE_FIXTURE(SpecialTokenFixture,
                  "special tokens that stay letters are counted, and the first is named") {
  const std::vector<Record> records = {
      record(R"({"text":"plain"})"), record(R"({"text":"an <s>old</s> price"})"),
      record(R"({"prompt":"a","completion":"a <s>b</s> c"})"), record(R"({"text":"<|im_end|>"})"),
      record(R"({"messages":[{"role":"user","content":"x<|im_end|>"}]})")};
  const auto remarks = encoder("auto").remarks(records);
  REQUIRE(remarks.size() == 2);
  CHECK(remarks[0].find("2 of 5 records spell out special tokens that stay letters (f.jsonl:3: \"<s>\")") ==
        0);
  CHECK(remarks[1].find("1 of 5 records spell out special tokens in the words of a chat message (f.jsonl:3: "
                        "\"<|im_end|>\")") == 0);
  CHECK(encoder("parse").remarks(records).size() == 1);
  CHECK(encoder("text").remarks(records).empty());
}
