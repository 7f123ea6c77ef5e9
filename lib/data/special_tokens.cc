#include "data/special_tokens.h"

namespace temper {

SpecialTokens::SpecialTokens(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {
  for (int64_t id = 0; id < tokenizer.vocab_size(); ++id) {
    if (!tokenizer.is_special(id)) continue;
    const std::string piece = tokenizer.piece(id);
    if (!piece.empty()) pieces_.insert(piece, id);
  }
}

std::string SpecialTokens::find(std::string_view text) const {
  for (size_t at = 0; at < text.size(); ++at) {
    int64_t id = -1;
    const size_t length =
        pieces_.may_start(static_cast<unsigned char>(text[at])) ? pieces_.longest(text, at, id) : 0;
    if (length > 0) return std::string(text.substr(at, length));
  }
  return "";
}

bool SpecialTokens::rendered(std::string_view text) const {
  const auto piece = [&](std::optional<int64_t> id) { return id ? tokenizer_.piece(*id) : std::string(); };
  const std::string bos = piece(tokenizer_.bos()), eos = piece(tokenizer_.eos());
  if (!bos.empty() && text.starts_with(bos)) return true;
  const size_t end = text.find_last_not_of(" \t\r\n");
  if (end != std::string_view::npos && !eos.empty() && text.substr(0, end + 1).ends_with(eos)) return true;
  for (size_t at = 0; at < text.size();) {
    int64_t id = -1;
    const size_t length =
        pieces_.may_start(static_cast<unsigned char>(text[at])) ? pieces_.longest(text, at, id) : 0;
    const std::string_view found = text.substr(at, length);
    if (length > 0 && found != "<s>" && found != "</s>") return true;
    at += length > 0 ? length : 1;
  }
  return false;
}

}  // namespace temper
