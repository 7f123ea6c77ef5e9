// A chat template as the whole input, rendered with messages and variables of every type.
#include "spans.h"
#include "text/template.h"

using namespace temper;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Json messages = Json::parse(R"([{"role": "system", "content": "You are <b>é日本</b>."},
    {"role": "user", "content": "What is 2+2?\n\tcode"},
    {"role": "assistant", "content": "<think>\nhm\n</think>\n\n4", "reasoning_content": "hm", "tool_calls": [{"type":
      "function", "function": {"name": "f", "arguments": {"a": 1, "b": [1.5, null, true], "c": "x"}}}]},
    {"role": "tool", "content": "9"},
    {"role": "user", "content": [{"type": "text", "text": "parts"}, {"type": "image"}]},
    {"role": "assistant", "content": "bye"}])");
  static const Json extra =
      Json::parse(R"({"bos_token": "<s>", "eos_token": "</s>", "pad_token": null, "tools": [{"type":
    "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {"a":
    {"type": "integer"}}}}}], "documents": [{"title": "t", "text": "x"}], "n": 7, "neg": -7, "x": 2.5, "t": true,
    "none": null, "s": "Hello, Wörld", "l": [3, 1, 2], "d": {"b": 1, "a": [1, {"k": null}], "items": "key"},
    "big": 9007199254740993, "enable_thinking": false})");
  fuzz::reads([&] {
    const ChatTemplate chat(std::string(fuzz::text_of(data, size)), "t");
    const RenderedChat out = chat.render(messages, size % 2 == 1, extra);
    fuzz::check_spans(out.generation, out.text.size());
    fuzz::check_spans(out.user_text, out.text.size());
  });
  return 0;
}
