#include "rollout/banned_texts.h"

#include <algorithm>

namespace temper {
namespace {

// The text of each id behind other text; a special token has none.
std::vector<std::string> token_texts(const Tokenizer& tokenizer, int64_t vocab) {
  // Behind a letter, so that a space that begins a word is kept.
  const auto letter = tokenizer.encode("a");
  const std::string before = tokenizer.decode(letter, false);
  std::vector<std::string> out(static_cast<size_t>(std::min(vocab, tokenizer.vocab_size())));
  for (size_t id = 0; id < out.size(); ++id) {
    auto ids = letter;
    ids.push_back(static_cast<int64_t>(id));
    const std::string both = tokenizer.decode(ids, false);
    if (both.size() > before.size()) out[id] = both.substr(before.size());
  }
  return out;
}

bool ends_with(const std::string& text, const std::string& tail) {
  return text.size() >= tail.size() && text.compare(text.size() - tail.size(), tail.size(), tail) == 0;
}

}  // namespace

BannedTexts::BannedTexts(const Tokenizer& tokenizer, const std::vector<std::string>& texts, int64_t vocab) {
  if (texts.empty()) return;
  const auto token = token_texts(tokenizer, vocab);
  for (const std::string& text : texts) {
    if (const auto id = tokenizer.id(text)) special_.push_back(*id);
    for (size_t k = 0; k < text.size(); ++k) {
      const std::string rest = text.substr(k);
      Completion completion{text.substr(0, k), {}};
      for (size_t id = 0; id < token.size(); ++id) {
        const size_t at = token[id].find(rest);
        if (k == 0 ? at != std::string::npos : at == 0) completion.ids.push_back(static_cast<int64_t>(id));
      }
      if (!completion.ids.empty()) completions_.push_back(std::move(completion));
    }
  }
}

std::vector<int64_t> BannedTexts::after(const std::string& so_far) const {
  std::vector<int64_t> out = special_;
  for (const Completion& c : completions_) {
    if (ends_with(so_far, c.begun)) out.insert(out.end(), c.ids.begin(), c.ids.end());
  }
  return out;
}

}  // namespace temper
