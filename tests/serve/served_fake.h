// The fake service as it is served: with a chat template that knows tools, and the end token's name.
#pragma once

#include <memory>
#include <string>

#include "base/json.h"
#include "fake_service.h"
#include "serve/answer.h"

namespace temper {

// Qwen's way in short: calls between tags.
inline constexpr const char* kHermesTemplate =
    "{%- if tools %}{{- '<start>tools ' + (tools | tojson) + '<end>' }}{% endif %}"
    "{%- for m in messages %}{{- '<start>' + m.role + ' ' }}"
    "{%- if m.content %}{{- m.content }}{% endif %}"
    "{%- for call in m.tool_calls or [] %}{{- '<tool_call>\\n{\"name\": \"' + call.function.name + '\", "
    "\"arguments\": ' }}{{- call.function.arguments | tojson }}{{- '}\\n</tool_call>' }}{% endfor %}"
    "{{- '<end>' }}{% endfor %}{%- if add_generation_prompt %}{{- '<start>assistant ' }}{% endif %}";

struct ServedFake {
  explicit ServedFake(const std::string& chat_template = kHermesTemplate)
      : tokenizer({"<start>", "<end>"}, {"th", "he ", "\xe2\x82"}), chat(chat_template), service(tokenizer) {
    tokenizer.eos_ = *tokenizer.id("<end>");
    model = {.name = "base",
             .service = &service,
             .tokenizer = &tokenizer,
             .chat = &chat,
             .end_ids = service.end_ids,
             .defaults = {}};
  }
  SpokenTokenizer tokenizer;
  ChatTemplate chat;
  FakeService service;
  ServedModel model;
};

inline Json user_says(const std::string& words) {
  return Json::array({{{"role", "user"}, {"content", words}}});
}

}  // namespace temper
