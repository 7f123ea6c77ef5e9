// Texts that may not appear in a completion, however the tokenizer cuts them into tokens of whole characters.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace temper {

class BannedTexts {
 public:
  // vocab: ids of the model.
  BannedTexts(const Tokenizer& tokenizer, const std::vector<std::string>& texts, int64_t vocab);
  bool empty() const { return special_.empty() && completions_.empty(); }
  // The ids that would bring a banned text about behind the text so far (special tokens left out of it):
  // those whose text holds it, or begins with the rest of what `so_far` ends with.
  std::vector<int64_t> after(const std::string& so_far) const;

 private:
  // Behind a text that ends with `begun`, these ids complete a banned text.
  struct Completion {
    std::string begun;
    std::vector<int64_t> ids;
  };
  std::vector<int64_t> special_;  // banned texts that are a token by themselves
  std::vector<Completion> completions_;
};

}  // namespace temper
