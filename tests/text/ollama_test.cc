#include "text/ollama.h"

#include "base/json.h"
#include "fake_tokenizer.h"
#include "test.h"

using namespace temper;

TEST_CASE("ollama: chatml as a Go template") {
  const FakeTokenizer tokenizer({});
  const ChatTemplate chatml("chatml");
  const auto words = message_words(chatml, tokenizer);
  REQUIRE(words);
  CHECK(words->system->before == "<|im_start|>system\n");
  CHECK(words->user.after == "<|im_end|>\n");
  CHECK(words->generation == "<|im_start|>assistant\n");
  CHECK(words->default_system.empty());
  CHECK(ollama_modelfile("m.gguf", &chatml, tokenizer, {"<|im_end|>"}) ==
        "FROM ./m.gguf\n"
        "TEMPLATE \"\"\"{{ range .Messages }}{{ if eq .Role \"system\" }}<|im_start|>system\n{{ .Content "
        "}}<|im_end|>\n"
        "{{ else if eq .Role \"user\" }}<|im_start|>user\n{{ .Content }}<|im_end|>\n"
        "{{ else if eq .Role \"assistant\" }}<|im_start|>assistant\n{{ .Content }}<|im_end|>\n"
        "{{ end }}{{ end }}<|im_start|>assistant\n\"\"\"\n"
        "PARAMETER stop \"<|im_end|>\"\n");
}

TEST_CASE("ollama: a system message of the template's own, and templates without one") {
  const FakeTokenizer tokenizer({});
  const ChatTemplate own(
      "{%- if messages[0].role != 'system' %}{{ '<system>You help.<e>' }}{%- endif %}"
      "{%- for m in messages %}{{ '<' + m.role + '>' + m.content + '<e>' }}{%- endfor %}"
      "{%- if add_generation_prompt %}{{ '<assistant>' }}{%- endif %}");
  const auto words = message_words(own, tokenizer);
  REQUIRE(words);
  CHECK(words->default_system == "You help.");
  CHECK(ollama_modelfile("m.gguf", &own, tokenizer, {}).find("SYSTEM \"\"\"You help.\"\"\"") !=
        std::string::npos);

  const ChatTemplate none(
      "{%- for m in messages %}{%- if m.role == 'system' %}{{ raise_exception('no') }}{%- endif %}"
      "{{ '{{' + m.role + '}}' + m.content + '<e>' }}{%- endfor %}"
      "{%- if add_generation_prompt %}{{ '{{assistant}}' }}{%- endif %}");
  const auto without = message_words(none, tokenizer);
  REQUIRE(without);
  CHECK(!without->system);
  CHECK(ollama_modelfile("m.gguf", &none, tokenizer, {}).find("{{ \"{{\" }}user}}{{ .Content }}") !=
        std::string::npos);
}

TEST_CASE("ollama: a template that does more is not written down wrongly") {
  const FakeTokenizer tokenizer({});
  // As those that fold the system message into the first question, or number the turns.
  const ChatTemplate folds(
      "{%- for m in messages %}{%- if m.role == 'user' %}{{ '[I]' }}"
      "{%- if loop.index0 == 1 and messages[0].role == 'system' %}{{ messages[0].content + '\n' }}{%- endif "
      "%}"
      "{{ m.content + '[/I]' }}{%- elif m.role == 'assistant' %}{{ m.content + '</s>' }}{%- endif %}{%- "
      "endfor %}");
  const ChatTemplate counts(
      "{%- for m in messages %}{{ loop.index|string + m.role + m.content }}{%- endfor %}"
      "{%- if add_generation_prompt %}{{ 'assistant' }}{%- endif %}");
  CHECK(!message_words(counts, tokenizer));
  const std::string file = ollama_modelfile("m.gguf", &counts, tokenizer, {"</s>"});
  CHECK(file.find("TEMPLATE") == std::string::npos);
  CHECK(file.find("# The model's chat template is not a row of messages") != std::string::npos);
  // Folding is words around the system's content as well, as long as the question behind it is one like
  // others.
  CHECK(!message_words(folds, tokenizer));
  CHECK(ollama_modelfile("m.gguf", nullptr, tokenizer, {}).find("{{ .Prompt }}") != std::string::npos);
}
