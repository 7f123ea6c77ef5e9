// The "normalizer" of tokenizer.json: what happens to the text first.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/tokenizer_json.h"
#include "text/tokenizer_regex.h"

namespace temper {

// A literal string or a regular expression: {"String": "..."} or {"Regex": "..."}.
class TextPattern {
 public:
  explicit TextPattern(const JsonPart& part);  // the part that holds "pattern"
  using Matches = std::vector<std::pair<size_t, size_t>>;
  void find_all(std::string_view text, Matches& matches, RegexScratch& scratch) const;
  std::string replace_all(std::string_view text, const std::string& content) const;
  // A literal of one character: its matches never depend on what stands beside it.
  bool is_single_character() const;

 private:
  std::string literal_;
  std::shared_ptr<const Regex> regex_;  // null: the literal
};

// Text in, text out. at_start: whether the text still begins where the whole input begins; a step that cuts
// off its beginning clears it.
using Normalizer = std::function<std::string(std::string text, bool& at_start)>;

// Throws UserError that names the type when it is not one of: NFC, NFD, NFKC, NFKD, Lowercase, Prepend,
// Replace, Strip, ByteLevel, Sequence.
Normalizer make_normalizer(const JsonPart& part);

}  // namespace temper
