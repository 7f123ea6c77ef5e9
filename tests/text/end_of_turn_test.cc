#include "text/end_of_turn.h"

#include "fake_tokenizer.h"
#include "test.h"

using namespace temper;

TEST_CASE("end of turn: the special token behind an assistant's words") {
  const FakeTokenizer tokenizer({"<|im_start|>", "<|im_end|>", "</s>"}, {"ne"});
  const auto end = [&](const std::string& source) { return end_of_turn(ChatTemplate(source), tokenizer); };
  const std::string loop = "{% for m in messages %}", close = "{% endfor %}";
  CHECK(end("chatml") == tokenizer.id("<|im_end|>"));
  CHECK(end(loop + "<|im_start|>{{ m.role }}\n{{ m.content }}\n<|im_end|>\n" + close) ==
        tokenizer.id("<|im_end|>"));
  CHECK(
      end(loop +
          "{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %}{{ m.content }}</s>{% endif %}" +
          close) == tokenizer.id("</s>"));
  // What stands in front of the words, or behind other text, is no end.
  CHECK(end(loop + "<|im_start|>{{ m.role }}: {{ m.content }}\n" + close) == std::nullopt);
  CHECK(end(loop + "{{ m.content }}\nUser:<|im_start|>" + close) == std::nullopt);
  // Templates that hide the words, or refuse the chat.
  CHECK(end(loop + "{{ m.role }}<|im_end|>" + close) == std::nullopt);
  CHECK(end("{{ raise_exception('no chats') }}") == std::nullopt);
}
