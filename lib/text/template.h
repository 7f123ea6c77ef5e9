// Chat templates: a Jinja subset wide enough for the templates of current model families.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/json_fwd.h"
#include "text/tokenizer.h"

namespace temper {

struct RenderedChat {
  std::string text;
  // Spans of `text` [begin, end) in bytes that {% generation %} blocks produced.
  std::vector<std::pair<size_t, size_t>> generation;
  // Spans that came from message contents and other values handed in, which can never become special tokens.
  std::vector<std::pair<size_t, size_t>> user_text;
};

struct EncodedChat {
  std::vector<int64_t> ids;
  std::vector<bool> assistant_mask;  // per id: written by the assistant, its end token included
  std::string text;
};

class ChatTemplate {
 public:
  // source: Jinja text, or "chatml" for the built-in one. Throws UserError with line and reason.
  explicit ChatTemplate(const std::string& source, const std::string& where = "chat template");
  ~ChatTemplate();

  // messages: [{"role","content",...}...]; extra: further variables (tools, enable_thinking, bos_token ...).
  // Throws UserError for raise_exception() and for anything undefined that the template needs.
  RenderedChat render(const Json& messages, bool generation_prompt, const Json& extra) const;

  // Renders with the tokenizer's bos/eos and encodes: template text may hold special tokens, message text never
  // does. The assistant mask comes from generation spans; where a template has none, from the differences between
  // the renderings of the chat's prefixes, checked (UserError when a prefix is not a prefix of the whole).
  EncodedChat encode(const Tokenizer& tokenizer, const Json& messages, bool generation_prompt,
                     const Json& extra = nullptr) const;

  bool has_generation_spans() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The template a run uses. choice: "auto" (the tokenizer's own; UserError that suggests "chatml" when it has none),
// "chatml", or a path to a .jinja file.
ChatTemplate resolve_template(const Tokenizer& tokenizer, const std::string& choice);

}  // namespace temper
