// The bytes that each token of a vocabulary adds to a completion's text, and all of them as a trie.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace temper {

// Tokens by their bytes, laid out so that one walk visits every beginning once.
class TokenTrie {
 public:
  // Of texts by id; an empty one is in no place.
  explicit TokenTrie(const std::vector<std::string>& texts);
  struct Node {
    uint8_t byte;
    int32_t depth;   // 0: the first byte
    int32_t past;    // the first node behind all that begin with this one's bytes
    int32_t tokens;  // where its ids begin in ids(); they end where the next node's begin
  };
  const std::vector<Node>& nodes() const {
    return nodes_;
  }  // a node's children follow it; one more at the end
  const std::vector<int64_t>& ids() const { return ids_; }

 private:
  std::vector<Node> nodes_;
  std::vector<int64_t> ids_;
};

class TokenTexts {
 public:
  // vocab: ids of the model; those that the tokenizer lacks have no text, nor have special tokens. Throws
  // UserError when the tokenizer's decoder does not put a text together from those of its tokens.
  TokenTexts(const Tokenizer& tokenizer, int64_t vocab);
  int64_t vocab() const { return static_cast<int64_t>(later_.size()); }
  // first: of a text's first token, which loses the space that stands for the beginning of a text. Bytes, not
  // always whole characters. Empty: it adds nothing, or stands for no text, as ids do that are none.
  const std::string& text(int64_t id, bool first) const;
  const TokenTrie& trie(bool first) const { return first && !first_.empty() ? first_trie_ : later_trie_; }

 private:
  std::vector<std::string> later_, first_;  // by id; first_ is empty where it would be the same
  TokenTrie later_trie_, first_trie_;
};

}  // namespace temper
