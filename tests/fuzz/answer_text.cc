// An answer in bytes as it is streamed: the first byte says which calls and stop strings are looked for, the
// second after how many tokens it is cut. The pieces are whole characters and make the whole.
#include "serve/answer_text.h"

#include "fuzz.h"
#include "jinja/text.h"
#include "serve/fake_service.h"

using namespace temper;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  static const SpokenTokenizer tokenizer({"<end>", "<mark>", "<|python_tag|>", "[TOOL_CALLS]"},
                                         {"th", "<to", "\xe2\x82"});
  const std::string text(fuzz::text_of(data + 2, size - 2));
  AnswerRules rules{&tokenizer, {*tokenizer.id("<end>")}, {}, {}, (data[0] & 8) != 0, ""};
  if ((data[0] & 7) < 4) rules.tools = static_cast<ToolFormat>(data[0] & 3);
  if ((data[0] & 16) != 0) rules.stop = {"STOP", "\n\n"};
  if ((data[0] & 32) != 0) rules.stop.push_back("<mark>");
  auto ids = tokenizer.encode(text, {.parse_special = true});
  ids.push_back(rules.end_ids[0]);
  const int64_t limit = data[1] == 0 ? INT64_MAX : data[1];
  const Completion completion = completed(tokenizer, ids, rules.end_ids, rules.stop, limit);
  AnswerText answer(rules);
  std::string shown;
  for (const int64_t id : completion.ids) {
    const std::string piece = answer.push(id);
    fuzz::promise(jinja::valid_utf8(piece) || !jinja::valid_utf8(text), "half a character");
    shown += piece;
  }
  shown += answer.finish(completion).content;
  if (jinja::valid_utf8(text))
    fuzz::promise(shown == said_in(rules, completion).content, "pieces are not the whole");
  return 0;
}
