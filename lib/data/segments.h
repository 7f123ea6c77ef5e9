// Texts in segments, sentences or lines, that are scored on their own; and where bytes of a text stand among
// its tokens.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace temper {

// The segments of a text, which put together are the text; none of an empty one.
//   "line"      up to and with each line's end
//   "sentence"  up to a line's end, or to . ! ? or one of their wide forms with the quotes and brackets
//   behind,
//               where white space follows; that begins the next one, as it begins the next token. "e.g. this"
//               is two.
// One that has nothing but white space belongs to the one before it, at the beginning to the one after.
std::vector<std::string> split_text(const std::string& text, const std::string& how);
const std::vector<std::string>& text_splits();

// The token of `ids`, by its place, with which each of these many bytes of their text are there; ends
// ascending. Beyond the text: the last one. ids must not be empty.
std::vector<int64_t> tokens_at(const Tokenizer& tokenizer, const std::vector<int64_t>& ids,
                               const std::vector<int64_t>& ends);

// The last token of each of a text's segments, by its place in `ids`, which are the text, perhaps cut,
// without white space at its ends, or with tokens before and behind that decode to nothing. A token that
// reaches over a border is of the segment that it begins in. Throws UserError, naming `where`, when ids are
// another text.
std::vector<int64_t> segment_ends(const Tokenizer& tokenizer, const std::vector<int64_t>& ids,
                                  const std::vector<std::string>& segments, const std::string& where);

}  // namespace temper
