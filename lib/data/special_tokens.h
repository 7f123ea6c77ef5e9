// Special tokens that a string spells out.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "text/tokenizer.h"
#include "text/tokenizer_added.h"

namespace temper {

class SpecialTokens {
 public:
  explicit SpecialTokens(const Tokenizer& tokenizer);

  // The first special token that the text spells out, as text; "" when there is none.
  std::string find(std::string_view text) const;

  // Whether the text was written in special tokens (rendered by a template, documents with an end token
  // between them): it spells some out. "<s>" and "</s>" are HTML, too, and count where the begin token opens
  // the text or the end token closes it.
  bool rendered(std::string_view text) const;

 private:
  const Tokenizer& tokenizer_;
  StringSet pieces_;
};

}  // namespace temper
