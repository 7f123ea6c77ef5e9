// Which token stands where in an encoded text.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "text/template_impl.h"
#include "text/tokenizer.h"

namespace temper {

// Finds the tokens of byte positions. Where decoding gives the text back (but for spaces that were put in
// or dropped), the bytes of the decoded tokens tell; else (a normaliser changed the text) the encoding of the
// text up to there is compared with the whole, from the nearest special token or known border on. So many
// positions of a long text take no longer than its length.
class TokenPlaces {
 public:
  // ids: the encoding of `text` with special tokens parsed outside of `plain`. All outlive this.
  TokenPlaces(const Tokenizer& tokenizer, const std::string& text, const Spans& plain,
              const std::vector<int64_t>& ids);

  // The first token that has a byte at or behind `at`, as transformers' char_to_token finds it.
  size_t first(size_t at) const { return border(at).whole; }
  // One past the last token that has a byte before `at`.
  size_t last(size_t at) const;

 private:
  struct Border {
    size_t whole;  // tokens that lie before it
    bool crossed;  // whether the next one begins before it
  };
  struct Anchor {
    size_t byte, token;  // the token begins at the byte
    bool certain;
  };

  Border border(size_t at) const;
  std::vector<int64_t> encode(size_t begin, size_t end) const;
  void find_anchors();
  bool follow(const std::string& decoded, size_t& at) const;

  const Tokenizer& tokenizer_;
  const std::string& text_;
  const Spans& plain_;
  const std::vector<int64_t>& ids_;
  bool counted_ = false;
  std::vector<size_t> ends_;             // where counted_: bytes of text that tokens [0, i] make
  mutable std::vector<Anchor> anchors_;  // where not
};

}  // namespace temper
