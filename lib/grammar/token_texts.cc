#include "grammar/token_texts.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "base/error.h"
#include "text/tokenizer_unicode.h"

namespace temper {
namespace {

// The bytes of a token that are no whole characters, from the two ways in which vocabularies spell bytes.
std::optional<std::string> spelt_bytes(const std::string& piece) {
  if (piece.size() == 6 && piece.starts_with("<0x") && piece[5] == '>')
    return std::string(1, static_cast<char>(std::stoi(piece.substr(3, 2), nullptr, 16)));
  std::string out;
  for (size_t at = 0; at < piece.size();) {
    const int byte = char_to_byte(next_char(piece, at));
    if (byte < 0) return std::nullopt;
    out += static_cast<char>(byte);
  }
  return out;
}

struct Texts {
  std::vector<std::string> later, first;
};

Texts read_texts(const Tokenizer& tokenizer, int64_t vocab) {
  Texts out{std::vector<std::string>(static_cast<size_t>(vocab)),
            std::vector<std::string>(static_cast<size_t>(vocab))};
  // Behind a letter, where a space that begins a word is kept.
  const std::vector<int64_t> letter = tokenizer.encode("a");
  const std::string before = tokenizer.decode(letter, false);
  std::vector<int64_t> all = letter, ids = letter;
  std::string together = before;
  ids.push_back(0);
  for (int64_t id = 0; id < std::min(vocab, tokenizer.vocab_size()); ++id) {
    if (tokenizer.is_special(id)) continue;
    ids.back() = id;
    const std::string both = tokenizer.decode(ids, false);
    std::string text = both.size() > before.size() ? both.substr(before.size()) : std::string();
    const std::string alone = tokenizer.decode({id}, false);
    const bool same = alone == text;
    std::optional<std::string> bytes;
    if (text.find("\uFFFD") != std::string::npos) bytes = spelt_bytes(tokenizer.piece(id));
    if (bytes && replace_invalid_utf8(*bytes) == text) {
      text = std::move(*bytes);
    } else {
      all.push_back(id);
      together += text;
    }
    out.first[static_cast<size_t>(id)] = same ? text : alone;
    out.later[static_cast<size_t>(id)] = std::move(text);
  }
  if (tokenizer.decode(all, false) != together) {
    user_error(
        "the tokenizer's decoder makes a text of its tokens in a way that constraints cannot follow (what a "
        "token says depends on those beside it)");
  }
  if (out.first == out.later) out.first.clear();
  return out;
}

}  // namespace

TokenTrie::TokenTrie(const std::vector<std::string>& texts) {
  for (size_t id = 0; id < texts.size(); ++id)
    if (!texts[id].empty()) ids_.push_back(static_cast<int64_t>(id));
  const auto text = [&](int64_t id) -> const std::string& { return texts[static_cast<size_t>(id)]; };
  std::stable_sort(ids_.begin(), ids_.end(), [&](int64_t a, int64_t b) { return text(a) < text(b); });
  std::string path;  // of the newest node
  for (size_t i = 0; i < ids_.size(); ++i) {
    const std::string& bytes = text(ids_[i]);
    size_t shared = 0;
    while (shared < path.size() && shared < bytes.size() && path[shared] == bytes[shared]) ++shared;
    for (size_t d = shared; d < bytes.size(); ++d)
      nodes_.push_back({static_cast<uint8_t>(bytes[d]), static_cast<int32_t>(d), 0, static_cast<int32_t>(i)});
    path = bytes;
  }
  const auto n = static_cast<int32_t>(nodes_.size());
  nodes_.push_back({0, 0, n, static_cast<int32_t>(ids_.size())});
  std::vector<int32_t> open;  // nodes whose children may still come
  for (int32_t i = 0; i <= n; ++i) {
    while (!open.empty() &&
           nodes_[static_cast<size_t>(open.back())].depth >= nodes_[static_cast<size_t>(i)].depth) {
      nodes_[static_cast<size_t>(open.back())].past = i;
      open.pop_back();
    }
    open.push_back(i);
  }
}

TokenTexts::TokenTexts(const Tokenizer& tokenizer, int64_t vocab) : later_trie_({}), first_trie_({}) {
  Texts texts = read_texts(tokenizer, vocab);
  later_ = std::move(texts.later);
  first_ = std::move(texts.first);
  later_trie_ = TokenTrie(later_);
  if (!first_.empty()) first_trie_ = TokenTrie(first_);
}

const std::string& TokenTexts::text(int64_t id, bool first) const {
  static const std::string none;
  if (id < 0 || id >= vocab()) return none;
  return (first && !first_.empty() ? first_ : later_)[static_cast<size_t>(id)];
}

}  // namespace temper
