#include "data/records.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include "base/error.h"
#include "data/records_of.h"
#include "test.h"
#include "text/fake_tokenizer.h"
#include "told.h"

using namespace temper;

namespace {

std::string write(const std::string& name, const std::string& content) {
  const std::string path = (std::filesystem::temp_directory_path() / ("temper_data_test_" + name)).string();
  std::ofstream(path, std::ios::binary) << content;
  return path;
}

template <class F>
std::string error_of(F run) {
  try {
    run();
  } catch (const UserError& e) {
    CHECK(std::string(e.what()).find('\n') == std::string::npos);
    return e.what();
  }
  return "no error";
}

struct Fixture {
  FakeTokenizer tokenizer{{"<s>", "</s>", "<|im_start|>", "<|im_end|>"}, {"ab"}};
  ChatTemplate chatml{"chatml"};
  Fixture() { tokenizer.eos_ = *tokenizer.id("</s>"); }

  RecordEncoder encoder(EncodeSettings settings = {}, bool with_chat = true) const {
    return RecordEncoder(tokenizer, with_chat ? &chatml : nullptr, std::move(settings));
  }
  // The text, targets in brackets.
  std::string shown(const Example& e) const {
    std::string out;
    bool open = false;
    for (size_t i = 0; i < e.ids.size(); ++i) {
      if (e.target[i] != open) out += open ? "]" : "[";
      open = e.target[i];
      out += tokenizer.piece(e.ids[i]);
    }
    return out + (open ? "]" : "");
  }
  std::string supervised(const std::string& json, EncodeSettings settings = {}) const {
    return shown(encoder(std::move(settings)).supervised(record(json)));
  }
};

const char* const kMessages =
    R"({"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"},{"role":"user","content":"r"},
        {"role":"assistant","content":"b"}]})";
const char* const kChatPair =
    R"({"prompt":[{"role":"user","content":"q"}],"completion":[{"role":"assistant","content":"a"}]})";

}  // namespace

TEST_CASE("a prefix stands behind the begin token, for examples and prompts alike, and is no target") {
  Fixture f;
  const std::string pair = R"({"prompt":"p","completion":"c"})";
  CHECK(f.supervised(pair, {.prefix = "abx"}) == "abxp[c</s>]");
  Record one = record(pair);
  one.prefix = "<s>!";
  const RecordEncoder encoder = f.encoder({.prefix = "ab"});
  const Example e = encoder.supervised(one);
  CHECK(f.shown(e) == "ab<s>!p[c</s>]");
  CHECK(e.prefix_begin == 0);
  CHECK(e.prefix_tokens == 3);
  CHECK(e.prompt_tokens == 4);
  CHECK(encoder.prompt_text(one) == "ab<s>!p");
  f.tokenizer.bos_ = *f.tokenizer.id("<s>");
  Record text = record(R"({"text":"<s>hello"})");
  text.prefix = "!";
  CHECK(f.shown(encoder.supervised(text)) == "[<s>]ab![hello</s>]");
  one = record(kChatPair);
  one.prefix = "!";
  CHECK(f.shown(encoder.supervised(one)).substr(0, 4) == "ab!<");
  CHECK(encoder.prompt_text(one).substr(0, 4) == "ab!<");
}

TEST_CASE("columns of a record") {
  const Record r = record(R"({"reward": 0.5, "good": true, "text": "t", "none": null})");
  CHECK(number_column(r, "reward", "x") == 0.5);
  CHECK(number_column(r, "good", "x") == 1.0);
  CHECK(text_column(r, "text", "x") == "t");
  CHECK(has(error_of([&] { number_column(r, "score", "loss.name rwr"); }),
            "f.jsonl:3: has no column \"score\""));
  CHECK(has(error_of([&] { number_column(r, "none", "x"); }), "has no column \"none\""));
  CHECK(has(error_of([&] { number_column(r, "text", "x"); }), "f.jsonl:3"));
  CHECK(has(error_of([&] { text_column(r, "reward", "x"); }), "must be a string"));
}

TEST_CASE("JSONL is read in order, with places") {
  const std::string a = write("a.jsonl", "\xEF\xBB\xBF{\"text\":\"1\"}\r\n\n  \n{\"text\":\"é\"}");
  const std::string b = write("b.jsonl", "{\"text\":\"3\"}\n");
  const auto records = read_records({a, b});
  REQUIRE(records.size() == 3);
  CHECK(records[1].json["text"] == "é");
  CHECK(records[1].where() == a + ":4");
  CHECK(records[2].where() == b + ":1");
}

TEST_CASE("broken JSONL names file and line") {
  auto error = [](const std::string& content) {
    const std::string path = write("bad.jsonl", content);
    return error_of([&] { read_records({path}); });
  };
  CHECK(has(error("{\"a\":1}\n{\"a\":\n"), "bad.jsonl:2"));
  CHECK(has(error("{\"a\":1}\n[1]\n"), "bad.jsonl:2: expected an object"));
  CHECK(has(error("{\"a\":\"\xff\"}\n"), "bad.jsonl:1"));
  CHECK(has(error("{\"a\":1,\"a\":2}\n"), "stands twice"));
  CHECK(has(error(""), "no records"));
  CHECK(has(error("\n\n"), "no records"));
  CHECK(has(error(std::string(5000, '[')), "bad.jsonl:1"));
  CHECK(has(error_of([] { read_records({"/nonexistent/x.jsonl"}); }), "/nonexistent/x.jsonl"));
  // The line is said once, and it is the file's.
  CHECK(has(error("{\"a\":1}\n{\"a\":}\n"), "bad.jsonl:2: not valid JSON at column 6"));
}

TEST_CASE("files of other formats are told for what they are") {
  auto error = [](const std::string& content) {
    const std::string path = write("bad.jsonl", content);
    return error_of([&] { read_records({path}); });
  };
  CHECK(has(error("{\n  \"text\": \"a\"\n}\n"), "an object over several lines"));
  CHECK(has(error(std::string("\xff\xfe{\0}\0", 6)), "bad.jsonl: UTF-16, expected UTF-8"));
  CHECK(has(error(std::string("{\0\"\0", 4)), "UTF-16"));
  CHECK(has(error(std::string("\0{\0\"", 4)), "UTF-16"));
  CHECK(has(error("\xfd"
                  "7zXZ"),
            "xz, expected text: unpack it"));
  CHECK(has(error("PAR1"), "Parquet"));
}

TEST_CASE("the kind is told from the keys") {
  auto kind = [](const std::string& json) { return record_kind(record(json)); };
  CHECK(kind(R"({"text":"x"})") == RecordKind::kText);
  CHECK(kind(R"({"prompt":"x","completion":"y","answer":3})") == RecordKind::kPromptCompletion);
  CHECK(kind(kChatPair) == RecordKind::kPromptCompletion);
  CHECK(kind(kMessages) == RecordKind::kMessages);
  CHECK(kind(R"({"prompt":"x","answer":"1"})") == RecordKind::kPrompt);
  CHECK(kind(R"({"prompt":"x","chosen":"y","rejected":"z"})") == RecordKind::kPreference);
  CHECK(kind(R"({"chosen":[{"role":"user","content":"y"}],"rejected":[{"role":"user","content":"z"}]})") ==
        RecordKind::kPreference);
  CHECK(kind(R"({"prompt":"x","completion":"y","label":true})") == RecordKind::kUnpaired);
  CHECK(kind(R"({"prompt":"x","completions":["y","z"],"labels":[true,false]})") == RecordKind::kStepwise);
  CHECK(kind(R"({"prompt":"x","completion":null})") == RecordKind::kPrompt);
  // A null column counts as absent.
  CHECK(kind(R"({"prompt":"x","completion":"y","label":null})") == RecordKind::kPromptCompletion);
  CHECK(kind(R"({"prompt":"x","completions":["y"],"labels":null,"completion":"z"})") ==
        RecordKind::kPromptCompletion);
  CHECK(kind(R"({"chosen":null,"rejected":null,"messages":null,"text":"x"})") == RecordKind::kText);
  // Labels may be numbers.
  CHECK(kind(R"({"prompt":"x","completion":"y","label":1})") == RecordKind::kUnpaired);
  CHECK(kind(R"({"prompt":"x","completions":["y","z"],"labels":[1,0.0]})") == RecordKind::kStepwise);
}

TEST_CASE("wrong columns are said clearly") {
  auto error = [](const std::string& json) { return error_of([&] { record_kind(record(json)); }); };
  CHECK(has(error(R"({"question":"x","answer":"y"})"), "f.jsonl:3: cannot tell"));
  CHECK(has(error(R"({"question":"x","answer":"y"})"), "question, answer"));
  CHECK(has(error("{}"), "no keys"));
  CHECK(has(error(R"({"text":5})"), "\"text\" must be a string, found number"));
  CHECK(has(error(R"({"prompt":5})"), "\"prompt\" must be a string or a list"));
  CHECK(has(error(R"({"prompt":"x","completion":[{"role":"assistant","content":"y"}]})"), "must both be"));
  CHECK(has(error(R"({"prompt":"x","completion":"y","label":2})"), "true or false, or 1 or 0, found 2"));
  CHECK(has(error(R"({"prompt":"x","completion":"y","label":"1"})"), "true or false"));
  CHECK(has(error(R"({"prompt":"x","completions":["y"],"labels":[0.5]})"), "\"labels\" must be a list"));
  CHECK(has(error(R"({"prompt":"x","completions":["y"],"labels":[true,false]})"),
            "1 completions but 2 labels"));
  CHECK(has(error(R"({"prompt":"x","completions":[1],"labels":[true]})"), "list of strings"));
  CHECK(has(error(R"({"messages":[]})"), "an empty list"));
  CHECK(has(error(R"({"messages":"x"})"), "list of messages"));
  CHECK(has(error(R"({"messages":[{"content":"x"}]})"), "\"messages\"[0]"));
  CHECK(has(error(R"({"messages":[{"role":"user","content":"x"},7]})"), "\"messages\"[1]"));
  CHECK(has(error(R"({"messages":[{"role":"user","content":7}]})"), "content must be text"));
}

TEST_CASE_FIXTURE(Fixture, "text and strings") {
  CHECK(supervised(R"({"text":"hi"})") == "[hi</s>]");
  CHECK(supervised(R"({"prompt":"p:","completion":"c"})", {.add_eos = false}) == "p:[c]");
  CHECK(supervised(R"({"prompt":"p:","completion":"c"})") == "p:[c</s>]");
  CHECK(supervised(R"({"prompt":"p:","completion":"c"})", {.targets = "all"}) == "[p:c</s>]");
  CHECK(supervised(R"({"prompt":"p:","completion":""})") == "p:[</s>]");
  const Example e = encoder().supervised(record(R"({"prompt":"xa","completion":"b"})"));
  CHECK(shown(e) == "xa[b</s>]");  // no token reaches over the border
  CHECK(e.prompt_tokens == 2);
  CHECK(encoder().supervised(record(R"({"prompt":"x","completion":"ab"})")).ids.size() == 3);
}

TEST_CASE_FIXTURE(Fixture, "chats") {
  const std::string head = "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n";
  CHECK(supervised(kMessages) == head +
                                     "[a<|im_end|>]\n<|im_start|>user\nr<|im_end|>\n<|im_start|>assistant\n"
                                     "[b<|im_end|>]\n");
  CHECK(supervised(kMessages, {.targets = "completion"}) ==
        head + "a<|im_end|>\n<|im_start|>user\nr<|im_end|>\n<|im_start|>assistant\n[b<|im_end|>]\n");
  CHECK(supervised(kChatPair) == head + "[a<|im_end|>]\n");
  CHECK(supervised(kChatPair, {.targets = "assistant"}) == head + "[a<|im_end|>]\n");
  CHECK(supervised(kChatPair, {.targets = "all"}) == "[" + head + "a<|im_end|>\n]");
  // An assistant turn inside the prompt is no target of a completion.
  const char* const longer =
      R"({"prompt":[{"role":"user","content":"q"},{"role":"assistant","content":"a"},{"role":"user","content":"r"}],
          "completion":[{"role":"assistant","content":"b"}]})";
  CHECK(supervised(longer) == supervised(kMessages, {.targets = "completion"}));
  CHECK(supervised(longer, {.targets = "assistant"}) == supervised(kMessages));
}

TEST_CASE_FIXTURE(Fixture, "pairs share their prompt, given or not") {
  const auto text = [&](const std::vector<int64_t>& ids) {
    std::string out;
    for (const int64_t id : ids) out += tokenizer.piece(id);
    return out;
  };
  const auto shown_pair = [&](const std::string& json) {
    const auto [chosen, rejected] = encoder().preference(record(json));
    CHECK(std::count(chosen.target.begin(), chosen.target.end(), true) > 0);
    return text(chosen.prompt) + "|" + text(chosen.completion) + "|" + text(rejected.prompt) + "|" +
           text(rejected.completion);
  };
  CHECK(shown_pair(R"({"prompt":"p:","chosen":"c","rejected":"d"})") == "p:|c</s>|p:|d</s>");
  // As TRL's extract_prompt: up to the last shared space.
  CHECK(shown_pair(R"({"chosen":"why so","rejected":"why not"})") == "why| so</s>|why| not</s>");
  CHECK(shown_pair(R"({"chosen":"é1","rejected":"é2"})") == "é|1</s>|é|2</s>");
  CHECK(shown_pair(R"({"chosen":"x\u00e9","rejected":"x\u00e8"})") == "x|é</s>|x|è</s>");
  const std::string head = "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n";
  const std::string want = head + "|a<|im_end|>\n|" + head + "|b<|im_end|>\n";
  CHECK(
      shown_pair(
          R"({"prompt":[{"role":"user","content":"q"}],"chosen":[{"role":"assistant","content":"a"}],"rejected":[{"role":"assistant","content":"b"}]})") ==
      want);
  CHECK(
      shown_pair(
          R"({"chosen":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],"rejected":[{"role":"user","content":"q"},{"role":"assistant","content":"b"}]})") ==
      want);

  // A prompt that is null is not given; columns of nulls are none.
  CHECK(
      shown_pair(
          R"({"prompt":null,"unfinished":null,"tools":null,"chosen":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],"rejected":[{"role":"user","content":"q"},{"role":"assistant","content":"b"}]})") ==
      want);

  const auto error = [&](const std::string& json) {
    return error_of([&] { (void)encoder().preference(record(json)); });
  };
  CHECK(has(error(R"({"chosen":"same","rejected":"same"})"), "f.jsonl:3"));
  CHECK(has(error(R"({"chosen":"a","rejected":"b"})"), "begin alike"));
  CHECK(has(error(R"({"prompt":"p","completion":"c"})"), "\"chosen\" and \"rejected\""));
  CHECK(has(error(R"({"chosen":[{"role":"user","content":"q"}],"rejected":[{"role":"user","content":"q"}]})"),
            "f.jsonl:3"));

  const auto [answer, label] = encoder().unpaired(record(R"({"prompt":"p:","completion":"c","label":true})"));
  CHECK(label);
  CHECK(text(answer.prompt) + "|" + text(answer.completion) == "p:|c</s>");
  CHECK(has(
      error_of([&] { (void)encoder().unpaired(record(R"({"prompt":"p:","completion":"c","label":2})")); }),
      "label"));
  CHECK(encoder().unpaired(record(R"({"prompt":"p:","completion":"c","label":1})")).second);
  CHECK_FALSE(encoder().unpaired(record(R"({"prompt":"p:","completion":"c","label":0})")).second);
}

TEST_CASE_FIXTURE(Fixture, "prompts for generation") {
  const std::string want = "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n";
  CHECK(encoder().prompt_text(record(kChatPair)) == want);
  CHECK(encoder().prompt_text(record(R"({"prompt":[{"role":"user","content":"q"}]})")) == want);
  CHECK(encoder().prompt_text(record(R"({"messages":[{"role":"user","content":"q"}]})")) == want);
  CHECK(encoder().prompt_text(record(kMessages)) ==
        want + "a<|im_end|>\n<|im_start|>user\nr<|im_end|>\n<|im_start|>assistant\n");
  CHECK(encoder().prompt_text(record(R"({"prompt":"p","completion":"c"})")) == "p");
  CHECK(has(error_of([&] { encoder().prompt(record(R"({"text":"x"})")); }), "generation needs"));
  CHECK(has(error_of([&] { encoder().prompt(record(R"({"prompt":""})")); }), "the prompt is empty"));
  CHECK(encoder().prompt_text(record(R"({"prompt":null,"messages":[{"role":"user","content":"q"}]})")) ==
        want);
  CHECK(
      has(error_of([&] { encoder().prompt(record(R"({"messages":[{"role":"assistant","content":"a"}]})")); }),
          "an answer and no question"));
}

TEST_CASE_FIXTURE(Fixture, "long prompts are dropped, cut from the left, or an error") {
  const Record longer = record(R"({"prompt":"abcdef"})");
  CHECK(encoder({.max_tokens = 5}).prompt_text(longer) == "abcdef");  // "ab" is one token
  CHECK(encoder({.max_tokens = 3, .overlong = "drop"}).prompt(longer).empty());
  CHECK(encoder({.max_tokens = 3, .overlong = "truncate"}).prompt_text(longer) == "def");
  CHECK(has(error_of([&] { encoder({.max_tokens = 3, .overlong = "error"}).prompt(longer); }),
            "f.jsonl:3: the prompt has 5 tokens, more than "));
  CHECK(encoder({.max_tokens = 3, .overlong = "truncate", .prefix = "<s>!"}).prompt_text(longer) == "<s>!f");
  CHECK(has(
      error_of([&] { encoder({.max_tokens = 2, .overlong = "truncate", .prefix = "<s>!"}).prompt(longer); }),
      "no room behind the prefix"));
}

TEST_CASE_FIXTURE(Fixture, "a generated answer becomes a record to learn from") {
  const auto shown_answer = [&](const std::string& json, bool whole = true) {
    return supervised(answered(record(json), "new", whole).dump());
  };
  CHECK(shown_answer(R"({"prompt":"p:","completion":"old","completions":["x"],"label":true})") ==
        "p:[new</s>]");
  CHECK(shown_answer(R"({"prompt":"p:","chosen":"old","rejected":"x"})", false) == "p:[new]");
  const std::string head = "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n";
  CHECK(shown_answer(kChatPair) == head + "[new<|im_end|>]\n");
  CHECK(shown_answer(kChatPair, false) == head + "[new]");
  CHECK(shown_answer(R"({"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]})") ==
        head + "[new<|im_end|>]\n");
  const Json kept = answered(record(R"({"prompt":"p","answer":"5","completion":null})"), "new", true);
  CHECK(kept == Json::parse(R"({"prompt":"p","answer":"5","completion":"new"})"));
  CHECK(
      has(error_of([&] { answered(record(R"({"text":"x"})"), "new", true); }), "f.jsonl:3: an answer needs"));
  // Answers in a list beside an older one are not passed over in silence.
  const char* const list =
      R"({"prompt":"p","completion":"old","completions":[{"text":"new","finish":"end"}]})";
  CHECK(has(error_of([&] { supervised(list); }), "--write completions"));
}

TEST_CASE_FIXTURE(Fixture, "tools and template variables come from the record and the settings") {
  const ChatTemplate shows("{{ tools | length if tools }}{{ style }}{{ level }}{{ messages[0].content }}");
  EncodeSettings settings;
  settings.template_extra = Json{{"style", "S"}, {"level", 1}};
  const RecordEncoder e(tokenizer, &shows, settings);
  const std::string chat = R"("prompt":[{"role":"user","content":"q"}])";
  CHECK(e.prompt_text(record("{" + chat + "}")) == "S1q");
  CHECK(e.prompt_text(record("{" + chat + R"(,"tools":[{},{}],"chat_template_kwargs":{"level":2}})")) ==
        "2S2q");
  CHECK(e.prompt_text(record("{" + chat + R"(,"tools":"[{\"a\":1}]"})")) == "1S1q");
  CHECK(has(error_of([&] { e.prompt(record("{" + chat + R"(,"tools":"[{"})")); }), "f.jsonl:3: \"tools\""));
  CHECK(has(error_of([&] { e.prompt(record("{" + chat + R"(,"tools":5})")); }), "must be a list"));
}

TEST_CASE_FIXTURE(Fixture, "long records, and records with nothing to learn") {
  const std::string pair = R"({"prompt":"prompt","completion":"c"})";
  CHECK(supervised(pair, {.max_tokens = 7}) == "prompt[c]");
  CHECK(encoder({.max_tokens = 7, .overlong = "drop"}).supervised(record(pair)).ids.empty());
  auto error = [&](const std::string& json, EncodeSettings settings, bool with_chat = true) {
    return error_of([&] { encoder(settings, with_chat).supervised(record(json)); });
  };
  CHECK(has(error(pair, {.max_tokens = 7, .overlong = "error"}),
            "f.jsonl:3: 8 tokens, more than max_tokens 7"));
  CHECK(has(error(pair, {.max_tokens = 6}), "behind max_tokens 6 of the record's 8 tokens"));
  CHECK(has(error(R"({"messages":[{"role":"user","content":"q"}]})", {.targets = "assistant"}),
            "no token to learn from"));
  CHECK(has(error(R"({"prompt":"p","completion":""})", {.add_eos = false}), "no token to learn from"));
  CHECK(has(error(kMessages, {}, false), "f.jsonl:3: this is a chat"));
  CHECK(has(error(kMessages, {}, false), "\"chatml\""));
  CHECK(has(error(pair, {.targets = "assistant"}), "no assistant turns"));
  CHECK(has(error(R"({"text":"x"})", {.targets = "completion"}), "has no completion"));
  CHECK(has(error(R"({"prompt":"x"})", {}), "supervised training needs"));
  CHECK(has(error(R"({"messages":[{"role":"user","content":[{"type":"image"}]}]})", {}),
            "f.jsonl:3: chat template: line"));
  CHECK(has(error_of([&] { encoder({.targets = "some"}); }), "targets: expected one of"));
  CHECK(has(error_of([&] { encoder({.overlong = "cut"}); }), "overlong: expected one of"));
  CHECK(has(error_of([&] { encoder({.max_tokens = 0}); }), "at least 1"));
}

TEST_CASE("the order is a function of seed and position") {
  const RecordOrder a(10, 7, "shuffle"), b(10, 7, "shuffle"), other(10, 8, "shuffle"),
      plain(10, 7, "sequential");
  std::vector<int64_t> first, second, third;
  for (int64_t i = 0; i < 30; ++i) (i < 10 ? first : i < 20 ? second : third).push_back(a.at(i));
  for (const auto& epoch : {first, second, third}) {
    CHECK(std::set<int64_t>(epoch.begin(), epoch.end()).size() == 10);
  }
  CHECK(first != second);
  bool same = true, differs = false;
  for (int64_t i = 29; i >= 0; --i) {  // any order of asking
    same &= b.at(i) == a.at(i);
    differs |= other.at(i) != a.at(i);
    CHECK(plain.at(i) == i % 10);
  }
  CHECK(same);
  CHECK(differs);
  CHECK_THROWS_AS(RecordOrder(10, 7, "random"), UserError);
}

TEST_CASE("texts to train a tokenizer on") {
  const auto texts =
      training_texts({record(kMessages), record(R"({"prompt":"p","completion":"c","answer":"no"})"),
                      record(R"({"prompt":"s","completions":["x","y"],"labels":[true,false]})")});
  CHECK(texts == std::vector<std::string>{"q", "a", "r", "b", "p", "c", "s", "x", "y"});
}

TEST_CASE_FIXTURE(Fixture,
                  "completions as whole answers share their prompt, as steps end with the separator") {
  const auto text = [&](const std::vector<int64_t>& ids) {
    std::string out;
    for (const int64_t id : ids) out += tokenizer.piece(id);
    return out;
  };
  const Record one = record(R"({"prompt":"p:","completions":["c","de"],"labels":[true,false]})");
  const auto answers = encoder().answers(one);
  REQUIRE(answers.size() == 2);
  CHECK(text(answers[0].prompt) + "|" + text(answers[0].completion) == "p:|c</s>");
  CHECK(text(answers[1].prompt) + "|" + text(answers[1].completion) == "p:|de</s>");
  const auto chat = encoder().answers(
      record(R"({"prompt":[{"role":"user","content":"q"}],"completions":["a"],"labels":[true]})"));
  CHECK(text(chat[0].completion) == "a<|im_end|>\n");

  const Steps steps = encoder().steps(one, {"c", "de"}, ";;");
  CHECK(text(steps.prompt) + "|" + text(steps.completion) == "p:|c;;de;;");
  CHECK((steps.ends == std::vector<int64_t>{4, 8}));
  CHECK(encoder({.max_tokens = 8, .overlong = "drop"}).steps(one, {"c", "de"}, ";;").ends.empty());
  const Steps cut = encoder({.max_tokens = 8, .overlong = "truncate"}).steps(one, {"c", "de"}, ";;");
  CHECK((cut.ends == std::vector<int64_t>{4}));
  CHECK(text(cut.completion) == "c;;");
  CHECK(has(error_of([&] { (void)encoder().steps(one, {}, ";"); }), "f.jsonl:3"));
}

TEST_CASE("words behind a prompt: behind a string, or behind a chat's last question") {
  const auto with = [](const char* json) {
    Record record{Json::parse(json), "f.jsonl", 3};
    append_words(record, " (hint)");
    return record.json;
  };
  CHECK(with(R"({"prompt": "q", "answer": 1})") == Json{{"prompt", "q (hint)"}, {"answer", 1}});
  const Json chat = with(R"({"prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"},
                                        {"role": "assistant", "content": "So"}]})");
  CHECK(chat["prompt"][1]["content"] == "q (hint)");
  CHECK(chat["prompt"][2]["content"] == "So");
  const Json parts = with(R"({"messages": [{"role": "user", "content": [{"type": "text", "text": "q"}]},
                                           {"role": "assistant", "content": "a"}]})");
  CHECK(parts["messages"][0]["content"] ==
        Json::parse(R"x([{"type": "text", "text": "q"}, {"type": "text", "text": " (hint)"}])x"));
  CHECK_THROWS_WITH_AS(
      with(R"({"prompt": [{"role": "system", "content": "s"}]})"),
      doctest::Contains("f.jsonl:3: words behind the prompt need a message of role \"user\""), UserError);
  CHECK_THROWS_WITH_AS(with(R"({"text": "t"})"), doctest::Contains("f.jsonl:3"), UserError);
}
