// What template.cc and template_encode.cc share.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "jinja/ast.h"
#include "text/template.h"

namespace temper {

using Spans = std::vector<std::pair<size_t, size_t>>;  // bytes [begin, end), sorted

struct ChatTemplate::Impl {
  jinja::Template tree;
  std::string where;
  bool built_in = false;

  // The first `count` messages. The text's bytes know which message they came from.
  jinja::Text render(const Json& messages, size_t count, bool generation_prompt, const Json& extra) const;
  // What stands before an answer to the messages: see ChatTemplate::encode_prompt.
  jinja::Text prompt(const Tokenizer& tokenizer, const Json& messages, bool open,
                     const Json& variables) const;
  // `extra` and the tokenizer's special tokens.
  Json variables(const Tokenizer& tokenizer, const Json& extra) const;
  // Special tokens are the template's alone.
  std::vector<int64_t> ids(const Tokenizer& tokenizer, const jinja::Text& text) const;
};

// Where the tag has one of the bits, adjoining runs as one span.
Spans spans_of(const jinja::Text& text, jinja::Tag bits);

}  // namespace temper
