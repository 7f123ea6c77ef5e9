// What is shown of an answer while it comes, put together, is the answer; and nothing is shown that is none.
#include "serve/answer_text.h"

#include "base/random.h"
#include "jinja/text.h"
#include "served_fake.h"
#include "test.h"

using namespace temper;

namespace {

struct Shown {
  std::vector<std::string> pieces;  // of each token, and what came at the end
  std::string text;                 // all of them
  Said whole;
};

Shown show(const SpokenTokenizer& tokenizer, const AnswerRules& rules, const std::string& says,
           int64_t limit = 100000) {
  auto ids = tokenizer.encode(says, {.parse_special = true});
  ids.push_back(rules.end_ids.at(0));
  const Completion completion = completed(tokenizer, ids, rules.end_ids, rules.stop, limit);
  Shown out;
  AnswerText text(rules);
  for (const int64_t id : completion.ids) out.pieces.push_back(text.push(id));
  out.whole = said_in(rules, completion);
  out.pieces.push_back(text.finish(completion).content);
  for (const std::string& piece : out.pieces) {
    CHECK(jinja::valid_utf8(piece));
    out.text += piece;
  }
  CHECK(out.text == out.whole.content);
  return out;
}

// How much of the answer was shown before its end was known.
size_t early(const Shown& shown) {
  return shown.text.size() - shown.pieces.back().size();
}

struct ShownPlace {
  SpokenTokenizer tokenizer{{"<end>", "<mark>", "<|python_tag|>", "[TOOL_CALLS]"}, {"th", "\xe2\x82", "<to"}};
  AnswerRules rules(std::vector<std::string> stop = {}, std::optional<ToolFormat> tools = {}) const {
    return {&tokenizer, {*tokenizer.id("<end>")}, std::move(stop), tools, true, ""};
  }
};

const char* const kCall = R"({"name": "add", "arguments": {"a": 1}})";

}  // namespace

TEST_CASE("answer text: characters that tokens split, and special tokens") {
  const ShownPlace p;
  const auto rules = p.rules();
  const Shown shown = show(p.tokenizer, rules, "5 \xe2\x82\xac <mark>for the caf\xc3\xa9 \xf0\x9f\x98\x80");
  CHECK(shown.text == "5 \xe2\x82\xac for the caf\xc3\xa9 \xf0\x9f\x98\x80");
  CHECK(early(shown) == shown.text.size());
}

TEST_CASE("answer text: what may begin a stop string waits") {
  const ShownPlace p;
  const auto rules = p.rules({"STOP", "<mark>"});
  Shown shown = show(p.tokenizer, rules, "A STO is no STOP and this is not shown");
  CHECK(shown.text == "A STO is no ");
  for (const std::string& piece : shown.pieces) CHECK(piece != "S");
  shown = show(p.tokenizer, rules, "It ends in STO");
  CHECK(shown.text == "It ends in STO");
  CHECK(early(shown) == std::string("It ends in ").size());
  // A stop string that is a special token, and one that is half of one.
  CHECK(show(p.tokenizer, rules, "before<mark>behind").text == "before");
  CHECK(show(p.tokenizer, p.rules({"k>b"}), "before<mark>behind").text == "before");
  CHECK(show(p.tokenizer, p.rules({"e<mar"}), "before<mark>behind").text == "befor");
  CHECK(show(p.tokenizer, p.rules({"\xe2\x82\xac"}), "5 \xe2\x82\xac and").text == "5 ");
}

TEST_CASE("answer text: calls of tools are no words") {
  const ShownPlace p;
  const auto rules = p.rules({}, ToolFormat::kHermes);
  Shown shown =
      show(p.tokenizer, rules, std::string("Let me see.\n<tool_call>\n") + kCall + "\n</tool_call>");
  CHECK(shown.text == "Let me see.");
  REQUIRE(shown.whole.calls.size() == 1);
  CHECK(early(shown) == shown.text.size());
  // No call, but it looked like one.
  CHECK(show(p.tokenizer, rules, "a <tool is a <tool_cal").text == "a <tool is a <tool_cal");
  // One that cannot be read stays.
  shown = show(p.tokenizer, rules, "Hm.<tool_call>{\"name\": </tool_call>");
  CHECK(shown.whole.calls.empty());
  CHECK(shown.text == "Hm.\n{\"name\":");
  // Thoughts call nothing.
  shown = show(p.tokenizer, rules, std::string("<think>a <tool_call>") + kCall + "</tool_call></think> so");
  CHECK(shown.whole.calls.empty());
  CHECK(shown.text.starts_with("<think>a <tool_call>"));
  CHECK(shown.text.ends_with(" so"));
  // One call is wanted, two are written.
  AnswerRules one = rules;
  one.parallel = false;
  const std::string call = std::string("<tool_call>") + kCall + "</tool_call>";
  CHECK(show(p.tokenizer, rules, call + call).whole.calls.size() == 2);
  CHECK(show(p.tokenizer, one, call + call).whole.calls.size() == 1);
}

TEST_CASE("answer text: calls in every form") {
  const ShownPlace p;
  const std::string call = kCall;
  CHECK(show(p.tokenizer, p.rules({}, ToolFormat::kLlama3), call).whole.calls.size() == 1);
  CHECK(show(p.tokenizer, p.rules({}, ToolFormat::kLlama3), "<|python_tag|>" + call).whole.calls.size() == 1);
  CHECK(show(p.tokenizer, p.rules({}, ToolFormat::kMistral), "ok[TOOL_CALLS][" + call + "]")
            .whole.calls.size() == 1);
  CHECK(show(p.tokenizer, p.rules({}, ToolFormat::kMistral), "ok[TOOL_CALLS][" + call + "]").text == "ok");
  const Shown fenced = show(p.tokenizer, p.rules({}, ToolFormat::kJson), "So:\n```json\n" + call + "\n```\n");
  CHECK(fenced.whole.calls.size() == 1);
  CHECK(fenced.text == "So:");
  // JSON that is no call is words, and shown as it comes.
  const Shown words = show(p.tokenizer, p.rules({}, ToolFormat::kJson), "So:\n{\"a\": 1}\n```\nx\n```\nend.");
  CHECK(words.whole.calls.empty());
  CHECK(words.text == "So:\n{\"a\": 1}\n```\nx\n```\nend.");
  CHECK(early(words) == words.text.size());
}

TEST_CASE("answer text: an answer that is a call from its first word on") {
  const ShownPlace p;
  auto rules = p.rules({}, ToolFormat::kHermes);
  rules.begun = "<tool_call>\n";
  const Shown shown = show(p.tokenizer, rules, kCall);
  CHECK(shown.text.empty());
  REQUIRE(shown.whole.calls.size() == 1);
  CHECK(shown.whole.calls[0].arguments == Json{{"a", 1}});
}

TEST_CASE("answer text: pieces make the whole, whatever is written") {
  const ShownPlace p;
  const std::vector<std::string> parts = {"the ",
                                          "\xe2\x82\xac",
                                          "\xc3\xa9",
                                          "<tool_call>",
                                          "</tool_call>",
                                          "<tool",
                                          "<think>",
                                          "</think>",
                                          "\n",
                                          " ",
                                          "```json\n",
                                          "```",
                                          "{",
                                          "}",
                                          "[",
                                          "]",
                                          "\"name\"",
                                          kCall,
                                          "STOP",
                                          "STO",
                                          "<mark>",
                                          "<|python_tag|>",
                                          ";",
                                          "[TOOL_CALLS]",
                                          "[TOOL",
                                          "<end",
                                          "{\"name\": \"x\"}",
                                          "{\"type\": 1}"};
  const std::vector<std::optional<ToolFormat>> formats = {
      std::nullopt, ToolFormat::kHermes, ToolFormat::kLlama3, ToolFormat::kMistral, ToolFormat::kJson};
  RandomStream random(1, "answers");
  for (int i = 0; i < 6000; ++i) {
    std::string says;
    for (uint64_t n = random.below(9); n > 0; --n) says += parts[random.below(parts.size())];
    std::vector<std::string> stop;
    if (random.below(3) == 0) stop = {"STOP", "\n\n"};
    if (random.below(6) == 0) stop.push_back("<mark>");
    const auto rules = p.rules(stop, formats[random.below(formats.size())]);
    const int64_t limit = random.below(2) == 0 ? 100000 : 1 + static_cast<int64_t>(random.below(30));
    CAPTURE(says);
    CAPTURE(limit);
    CAPTURE(stop.size());
    CAPTURE((rules.tools ? static_cast<int>(*rules.tools) : -1));
    const Shown shown = show(p.tokenizer, rules, says, limit);
    if (shown.text != shown.whole.content) break;  // one is enough to look at
  }
}
