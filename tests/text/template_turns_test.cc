// Which tokens of a chat the assistant wrote, where it is told from the renderings of the chat's beginnings;
// prompts, and answers to them.
#include <chrono>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/random.h"
#include "fake_tokenizer.h"
#include "test.h"
#include "text/template.h"

using namespace temper;

namespace {

Json user(const std::string& text) {
  return {{"role", "user"}, {"content", text}};
}
Json assistant(const std::string& text) {
  return {{"role", "assistant"}, {"content", text}};
}

// The text, what is marked in brackets.
std::string shown_turns(const Tokenizer& tokenizer, const std::vector<int64_t>& ids,
                        const std::vector<bool>& mask) {
  std::string out;
  bool open = false;
  REQUIRE(ids.size() == mask.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    if (mask[i] != open) out += open ? "]" : "[";
    open = mask[i];
    out += tokenizer.piece(ids[i]);
  }
  return out + (open ? "]" : "");
}

std::string shown_turns(const Tokenizer& tokenizer, const EncodedChat& chat) {
  return shown_turns(tokenizer, chat.ids, chat.assistant_mask);
}

std::string bracketed(const std::string& text, const std::vector<std::pair<size_t, size_t>>& spans) {
  std::string out;
  size_t at = 0;
  for (const auto& [begin, end] : spans) {
    out += text.substr(at, begin - at) + "[" + text.substr(begin, end - begin) + "]";
    at = end;
  }
  return out + text.substr(at);
}

// As DeepSeek-R1-Distill: the generation prompt opens a thought that stored turns lack.
const char* const kThinks =
    "{%- for m in messages %}{%- if m.role == 'user' %}{{ '<u>' + m.content }}{%- else %}"
    "{{ '<a>' + m.content + '<e>' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<a><think>\n' }}{%- endif %}";
const char* const kPlain =
    "{%- for m in messages %}{{ '<|' + m.role + '|>' + m.content + '<e>\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<|assistant|>' }}{%- endif %}";

}  // namespace

TEST_CASE("turns of real templates are those that TRL's training templates mark") {
  const Json file = read_json_file(test_file("text/golden/turns.json"));
  size_t turns = 0;
  for (const Json& want : file["cases"]) {
    const std::string name = want["template"];
    const Json& messages = file["chats"][want["chat"].get<size_t>()];
    CAPTURE(name);
    CAPTURE(want["chat"].get<int>());
    FakeTokenizer tokenizer(want["special"].get<std::vector<std::string>>(), {"<think>", "</think>"});
    for (const bool streams : {true, false}) {
      tokenizer.streams_ = streams;
      const EncodedChat chat = ChatTemplate(file["templates"][name].get<std::string>())
                                   .encode(tokenizer, messages, false, file["extra"]);
      CHECK(chat.text == want["text"].get<std::string>());
      REQUIRE_MESSAGE(chat.unmarked.empty(), chat.unmarked);
      CHECK(shown_turns(tokenizer, chat) ==
            bracketed(chat.text, want["turns"].get<std::vector<std::pair<size_t, size_t>>>()));
      turns += want["turns"].size();
    }
  }
  CHECK(turns > 200);
}

TEST_CASE("turns of long and short chats are those that rendering every beginning of the chat tells") {
  const Json extra{{"bos_token", ""}, {"eos_token", "</s>"}};
  // The slow form: everything up to a turn, and with it, is rendered. It holds where both begin the whole.
  const auto slow = [&](const ChatTemplate& chat, const Json& messages) {
    const std::string text = chat.render(messages, false, extra).text;
    std::vector<std::pair<size_t, size_t>> spans;
    for (size_t i = 0; i < messages.size(); ++i) {
      if (messages[i]["role"] != "assistant") continue;
      const Json before(messages.begin(), messages.begin() + static_cast<std::ptrdiff_t>(i));
      const Json with(messages.begin(), messages.begin() + static_cast<std::ptrdiff_t>(i + 1));
      std::string prompt, turn;
      try {
        prompt = chat.render(before, true, extra).text;
        turn = i + 1 == messages.size() ? text : chat.render(with, false, extra).text;
      } catch (const UserError&) {
        return std::string();
      }
      if (!text.starts_with(prompt) || !text.starts_with(turn)) return std::string();
      size_t end = turn.find_last_not_of(" \t\r\n") + 1;
      if (end <= prompt.size() || turn[end - 1] != '>') end = turn.size();  // no token ends it
      spans.emplace_back(prompt.size(), end);
    }
    return bracketed(text, spans);
  };
  const FakeTokenizer tokenizer({"<|im_start|>", "<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>",
                                 "<|END_OF_TURN_TOKEN|>", "</s>", "<|start_header_id|>"});
  const std::vector<std::string> words = {"", "a", "two words", "é", "line\nline", "<", "x"};
  size_t compared = 0;
  std::set<std::string> names;
  for (const std::string name :
       {"chatml", "llama3", "phi4_mini", "qwen2_5", "smollm2", "command_r", "zephyr"}) {
    CAPTURE(name);
    const ChatTemplate chat(read_file(test_file("text/golden/templates/" + name + ".jinja")));
    if (chat.has_generation_spans()) continue;
    RandomStream random(5, name, 0);
    for (int round = 0; round < 20; ++round) {
      Json messages = Json::array();
      const int64_t turns = 1 + static_cast<int64_t>(random.uniform() * 6);
      for (int64_t i = 0; i < turns; ++i) {
        for (const bool asks : {true, false}) {
          const std::string& text =
              words[static_cast<size_t>(random.uniform() * static_cast<double>(words.size()))];
          messages.push_back(asks ? user(text) : assistant(text));
        }
      }
      const std::string want = slow(chat, messages);
      if (want.empty()) continue;
      const EncodedChat got = chat.encode(tokenizer, messages, false, extra);
      CAPTURE(messages.dump());
      REQUIRE_MESSAGE(got.unmarked.empty(), got.unmarked);
      CHECK(shown_turns(tokenizer, got) == want);
      names.insert(name);
      ++compared;
    }
  }
  CHECK(compared >= 80);
  CHECK(names.size() >= 4);
}

TEST_CASE("a long chat takes no longer than its length, wherever its turns fall") {
  Json messages = Json::array();
  for (int i = 0; i < 4000; ++i)
    messages.push_back(i % 2 == 0 ? user("hello e\xCC\x81") : assistant("  hello"));
  for (const std::string name : {"gpt2", "llama_legacy", "qwen", "spm_bpe"}) {
    const auto tokenizer = Tokenizer::load(test_file("text/golden/tokenizers/" + name));
    // The last one prints something else for every message.
    const std::string counts =
        "{% for m in messages %}<|{{ m.role ~ loop.index }}|>{{ m.content }}</s>\n{% endfor %}"
        "{{ '<|assistant' ~ (messages | length + 1) ~ '|>' if add_generation_prompt }}";
    for (const std::string& source :
         {std::string(kPlain), std::string(kThinks), std::string("chatml"), counts}) {
      CAPTURE(name);
      CAPTURE(source);
      const auto start = std::chrono::steady_clock::now();
      const EncodedChat chat = ChatTemplate(source).encode(*tokenizer, messages, false);
      CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(15));
      CHECK_MESSAGE(chat.unmarked.empty(), chat.unmarked);
      size_t turns = 0;
      for (size_t i = 1; i < chat.ids.size(); ++i)
        turns += chat.assistant_mask[i] && !chat.assistant_mask[i - 1];
      CHECK(turns == 2000);
      if (source != "chatml") {
        size_t end = chat.ids.size();
        while (!chat.assistant_mask[end - 1]) --end;
        size_t begin = end;
        while (chat.assistant_mask[begin - 1]) --begin;
        const auto at = [&](size_t k) { return chat.ids.begin() + static_cast<std::ptrdiff_t>(k); };
        const std::vector<int64_t> ids(at(begin), at(end));
        CHECK(tokenizer->decode(ids).find("hello") != std::string::npos);
        CHECK(tokenizer->decode(ids).find("assistant") == std::string::npos);
      }
    }
  }
}

TEST_CASE("what the generation prompt alone writes is no part of a stored turn") {
  const FakeTokenizer tokenizer({"<u>", "<a>", "<e>"}, {"<think>"});
  const ChatTemplate thinks(kThinks);
  const Json chat = Json::array({user("2+2?"), assistant("4"), user("and?"), assistant("<5")});
  CHECK(shown_turns(tokenizer, thinks.encode(tokenizer, chat, false)) == "<u>2+2?<a>[4<e>]<u>and?<a>[<5<e>]");
  // A turn that has it is prompted with it.
  const Json thought = Json::array({user("2+2?"), assistant("<think>\nsum</think>4")});
  CHECK(shown_turns(tokenizer, thinks.encode(tokenizer, thought, false)) ==
        "<u>2+2?<a><think>\n[sum</think>4<e>]");
  // A generation prompt that shares a token's beginning with the turn, and one that shares nothing.
  const std::string loop = "{%- for m in messages %}{{ m.content + '|' }}{%- endfor %}";
  const ChatTemplate half(
      "{%- for m in messages %}{{ ('' if m.role == 'user' else '<thing>') + m.content + '|' }}{%- endfor %}"
      "{{ '<think>' if add_generation_prompt }}");
  CHECK(shown_turns(tokenizer, half.encode(tokenizer, Json::array({user("q"), assistant("a")}), false)) ==
        "q|[<thing>a|]");
  CHECK(shown_turns(tokenizer, ChatTemplate(loop + "{{ 'THINK' if add_generation_prompt }}")
                                   .encode(tokenizer, Json::array({user("q"), assistant("a")}), false)) ==
        "q|[a|]");
}

TEST_CASE("a chat that the assistant opens") {
  const FakeTokenizer tokenizer({"<e>", "<|user|>", "<|assistant|>"});
  const Json chat = Json::array({assistant("hello"), user("q"), assistant("a")});
  const std::string want = "<|assistant|>[hello<e>]\n<|user|>q<e>\n<|assistant|>[a<e>]\n";
  CHECK(shown_turns(tokenizer, ChatTemplate(kPlain).encode(tokenizer, chat, false)) == want);
  // A template that takes no empty chat.
  const ChatTemplate looks(std::string("{%- if messages[0].role == 'system' %}S{% endif %}") + kPlain);
  CHECK(shown_turns(tokenizer, looks.encode(tokenizer, chat, false)) == want);
}

TEST_CASE("a chat whose turns cannot be told says so and is encoded all the same") {
  const FakeTokenizer tokenizer({"<e>"});
  const ChatTemplate chat(
      "{% for m in messages %}{{ m.content ~ '|' ~ messages | length ~ '|' }}{% endfor %}");
  const Json messages = Json::array({user("q"), assistant("a")});
  const EncodedChat got = chat.encode(tokenizer, messages, false);
  CHECK(got.text == "q|2|a|2|");
  CHECK(got.ids.size() == 8);
  CHECK(got.assistant_mask.empty());
  CHECK(got.unmarked.find("the beginning of the assistant's turn in message 1") != std::string::npos);
  CHECK(got.unmarked.find("{% generation %}") != std::string::npos);
  // A turn that ends in letters, and in others when it is the last.
  const ChatTemplate ends(
      "{% for m in messages %}{{ m.content ~ ('|' if m.role == 'user' else '[END]' if loop.last else "
      "'[NEXT]') }}{% endfor %}");
  const Json more = Json::array({user("q"), assistant("a"), user("r")});
  CHECK(ends.encode(tokenizer, more, false).unmarked.find("the end of the assistant's turn in message 1") !=
        std::string::npos);
  // The answer to a prompt is what follows where they part, as in TRL.
  CHECK(shown_turns(tokenizer, chat.encode_answer(tokenizer, messages, Json::array({user("q")}), false,
                                                  {})) == "q|[2|a|2|]");
}

TEST_CASE("the special token behind a generation span is the turn's only when it ends the turn") {
  const FakeTokenizer tokenizer({"<|im_start|>", "<|im_end|>"});
  const Json messages = Json::array({assistant("A"), user("u")});
  const std::string source =
      "{%- for m in messages %}{%- if m.role == 'assistant' %}{% generation %}{{ m.content }}{% "
      "endgeneration "
      "%}END{%- else %}{{ '<|im_start|>' + m.content }}{%- endif %}{%- endfor %}";
  const auto with = [&](const std::string& end) {
    std::string text = source;
    text.replace(text.find("END"), 3, end);
    return shown_turns(tokenizer, ChatTemplate(text).encode(tokenizer, messages, false));
  };
  CHECK(with("") == "[A]<|im_start|>u");
  CHECK(with("<|im_end|>") == "[A<|im_end|>]<|im_start|>u");
  CHECK(with("{{ '\\n' }}<|im_end|>") == "[A]\n<|im_end|><|im_start|>u");
}

TEST_CASE("a prompt that ends in the assistant's words is left open behind them") {
  const FakeTokenizer tokenizer({"<|user|>", "<|assistant|>", "<e>"});
  const Json prompt = Json::array({user("q"), assistant(" The answer is ")});
  const auto prompt_of = [&](const std::string& source, const Json& messages, bool open) {
    return tokenizer.decode(ChatTemplate(source).encode_prompt(tokenizer, messages, open, {}));
  };
  CHECK(prompt_of(kPlain, prompt, true) == "<|user|>q<e>\n<|assistant|> The answer is ");
  CHECK(prompt_of(kPlain, prompt, false) == "<|user|>q<e>\n<|assistant|> The answer is <e>\n<|assistant|>");
  // A template that strips words, words that spell a token, and none at all.
  std::string strips = kPlain;
  strips.replace(strips.find("m.content"), 9, "m.content | trim");
  CHECK(prompt_of(strips, prompt, true) == "<|user|>q<e>\n<|assistant|>The answer is");
  CHECK(ChatTemplate(kPlain)
            .encode_prompt(tokenizer, Json::array({user("q"), assistant("<e>")}), true, {})
            .size() == 8);
  CHECK(prompt_of(kPlain, Json::array({user("q"), assistant("")}), true) == "<|user|>q<e>\n<|assistant|>");

  // The answer goes on in the same turn, and its mask ends with the turn.
  const Json whole = Json::array({user("q"), assistant(" The answer is 4"), user("r"), assistant("s")});
  CHECK(shown_turns(tokenizer, ChatTemplate(kPlain).encode_answer(tokenizer, whole, prompt, true, {})) ==
        "<|user|>q<e>\n<|assistant|> The answer is [4<e>]\n<|user|>r<e>\n<|assistant|>[s<e>]\n");
}

TEST_CASE("the answer to a prompt begins behind what both have") {
  const FakeTokenizer tokenizer({"<u>", "<a>", "<e>"}, {"<think>"});
  const ChatTemplate thinks(kThinks);
  const Json prompt = Json::array({user("p"), assistant("x"), user("q")});
  Json whole = prompt;
  whole.push_back(assistant("4"));
  CHECK(shown_turns(tokenizer, thinks.encode_answer(tokenizer, whole, prompt, false, {})) ==
        "<u>p<a>x<e><u>q<a>[4<e>]");
  CHECK(tokenizer.decode(thinks.encode_prompt(tokenizer, prompt, false, {})) ==
        "<u>p<a>x<e><u>q<a><think>\n");
  // Nothing behind the prompt: nothing is marked.
  const EncodedChat none = thinks.encode_answer(tokenizer, prompt, prompt, false, {});
  CHECK(shown_turns(tokenizer, none) == "<u>p<a>x<e><u>q");
}
