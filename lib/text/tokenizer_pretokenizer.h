// The "pre_tokenizer" of tokenizer.json: cuts the text into the words that the model sees one by one.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer_json.h"

namespace temper {

struct PreText {
  struct Piece {
    size_t begin, end;      // bytes of `text`
    int64_t id = -1;        // >= 0: an added token, which nothing touches any more
    bool at_start = false;  // begins where the input begins
  };
  std::string text;  // valid UTF-8
  std::vector<Piece> pieces;
  // Each byte of `text` stands for its printable byte-level character; the mapping is left to the model,
  // which looks most words up by their bytes.
  bool raw_bytes = false;

  std::string_view view(const Piece& piece) const {
    return std::string_view(text).substr(piece.begin, piece.end - piece.begin);
  }
};

using PreTokenizer = std::function<void(PreText&)>;

// Throws UserError that names the type when it is not one of: ByteLevel, Split, Digits, Metaspace,
// Whitespace, WhitespaceSplit, Punctuation, Sequence.
PreTokenizer make_pre_tokenizer(const JsonPart& part);

enum class PrependScheme { kFirst, kAlways, kNever };
PrependScheme read_prepend_scheme(const JsonPart& metaspace);

}  // namespace temper
