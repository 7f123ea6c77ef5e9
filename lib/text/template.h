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
  std::string unmarked;  // why there is no mask; "" when there is one
};

class ChatTemplate {
 public:
  // source: Jinja text, or "chatml" for the built-in one. Throws UserError with line and reason.
  explicit ChatTemplate(const std::string& source, const std::string& where = "chat template");
  ~ChatTemplate();
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;

  // messages: [{"role","content",...}...]; extra: further variables (tools, enable_thinking, bos_token ...).
  // As transformers: a message's null keys are left out, tools and documents are None unless given, and
  // reasoning is found under reasoning_content and thinking alike. Plain-word roles and ..._token variables
  // count as template text. Throws UserError for raise_exception(), for anything undefined that the template
  // needs, and for a template that would use up too much time or memory.
  RenderedChat render(const Json& messages, bool generation_prompt, const Json& extra) const;

  // Renders with the tokenizer's bos/eos/pad and encodes: template text may hold special tokens, message text
  // never does. The assistant mask comes from generation spans, each with the special token that ends its
  // turn even when the span stops before it. Where a template has none, a turn reaches from behind the
  // generation prompt (behind as much of it as stored turns have) up to and with the turn's last special
  // token; both are told from the renderings of the chat's beginnings. Of a message whose "weight" is 0
  // nothing is marked (OpenAI's fine-tuning). Time is near linear in the messages.
  EncodedChat encode(const Tokenizer& tokenizer, const Json& messages, bool generation_prompt,
                     const Json& extra) const;
  EncodedChat encode(const Tokenizer& tokenizer, const Json& messages, bool generation_prompt) const;
  // The ids alone, without the generation prompt.
  std::vector<int64_t> encode_ids(const Tokenizer& tokenizer, const Json& messages, const Json& extra) const;

  // What is put before a model that is to answer: the messages with the generation prompt; or, when `open`,
  // cut behind the words of the last one, which the answer continues (transformers' continue_final_message).
  std::vector<int64_t> encode_prompt(const Tokenizer& tokenizer, const Json& messages, bool open,
                                     const Json& extra) const;

  // What stands behind the words of message `answer`, which a model has written: the end of its turn, what
  // follows it in the chat, and the generation prompt. Throws UserError when the template shows none of the
  // words of a message that follows.
  std::vector<int64_t> encode_behind(const Tokenizer& tokenizer, const Json& messages, size_t answer,
                                     const Json& extra) const;

  // messages: a prompt and its answer. open: the prompt's last message is the beginning of the one that
  // stands in its place in `messages`. The mask is that of the answer: what the assistant writes behind the
  // prompt, which begins where prompt and whole part when stored turns lack something that the prompt ends
  // in. Where turns of the answer cannot be told apart, all of it.
  EncodedChat encode_answer(const Tokenizer& tokenizer, const Json& messages, const Json& prompt, bool open,
                            const Json& extra) const;

  bool has_generation_spans() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The template a run uses. choice: "auto" (the tokenizer's own; UserError that suggests "chatml" when it has
// none), "chatml", or a path to a .jinja file.
ChatTemplate resolve_template(const Tokenizer& tokenizer, const std::string& choice);

}  // namespace temper
