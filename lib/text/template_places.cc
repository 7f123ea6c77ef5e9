#include "text/template_places.h"

#include <algorithm>

namespace temper {

TokenPlaces::TokenPlaces(const Tokenizer& tokenizer, const std::string& text, const Spans& plain,
                         const std::vector<int64_t>& ids)
    : tokenizer_(tokenizer), text_(text), plain_(plain), ids_(ids) {
  StreamDecoder decoder(tokenizer, /*special=*/true);
  size_t at = 0;
  counted_ = true;
  for (size_t k = 0; k < ids.size() && counted_; ++k) {
    counted_ = follow(decoder.push(ids[k]), at);
    ends_.push_back(at);
  }
  counted_ = counted_ && decoder.finish().empty() && at == text.size();
  if (!counted_) find_anchors();
}

// Moves `at` behind what was decoded. Spaces may be there more or less: many tokenizers put one before a text
// or drop it.
bool TokenPlaces::follow(const std::string& decoded, size_t& at) const {
  for (const char c : decoded) {
    if (at < text_.size() && text_[at] == c) {
      ++at;
      continue;
    }
    if (c == ' ') continue;
    while (at < text_.size() && text_[at] == ' ') ++at;
    if (at == text_.size() || text_[at] != c) return false;
    ++at;
  }
  return true;
}

size_t TokenPlaces::last(size_t at) const {
  const Border b = border(at);
  return std::min(b.whole + (b.crossed ? 1 : 0), ids_.size());
}

TokenPlaces::Border TokenPlaces::border(size_t at) const {
  if (at == 0) return {0, false};
  if (counted_) {
    const auto k = static_cast<size_t>(std::lower_bound(ends_.begin(), ends_.end(), at) - ends_.begin());
    if (k == ends_.size()) return {k, false};
    return ends_[k] == at ? Border{k + 1, false} : Border{k, true};
  }
  for (;;) {
    const auto behind = std::partition_point(anchors_.begin(), anchors_.end(),
                                             [&](const Anchor& anchor) { return anchor.byte < at; });
    const Anchor from = *(behind - 1);
    const auto part = encode(from.byte, at);
    const auto differ = std::mismatch(part.begin(), part.end(),
                                      ids_.begin() + static_cast<std::ptrdiff_t>(from.token), ids_.end());
    const auto same = static_cast<size_t>(differ.first - part.begin());
    const size_t whole = from.token + same;
    if (same == part.size()) {
      // A place to go on from, if the tokenizer reads on from there as it does in the whole.
      anchors_.insert(behind, {at, whole, false});
      return {whole, false};
    }
    // What a token that reaches over the position changes stands at the end.
    if (from.certain || (same > 0 && part.size() - same <= 8)) return {whole, true};
    anchors_.erase(behind - 1);
  }
}

std::vector<int64_t> TokenPlaces::encode(size_t begin, size_t end) const {
  EncodeOptions options{.parse_special = true};
  auto span = std::partition_point(plain_.begin(), plain_.end(),
                                   [&](const auto& range) { return range.second <= begin; });
  for (; span != plain_.end() && span->first < end; ++span)
    options.plain.emplace_back(std::max(span->first, begin) - begin, std::min(span->second, end) - begin);
  return tokenizer_.encode(std::string_view(text_).substr(begin, end - begin), options);
}

// The special tokens whose place is certain: the text between two of them, encoded on its own, gives the ids
// between them.
void TokenPlaces::find_anchors() {
  anchors_ = {{0, 0, true}};
  int refused = 0;
  size_t from = 0;
  for (size_t k = 0; k < ids_.size() && refused < 8; ++k) {
    if (!tokenizer_.is_special(ids_[k])) continue;
    const std::string piece = tokenizer_.piece(ids_[k]);
    const auto in_plain = [&](size_t at) {
      const auto span = std::partition_point(plain_.begin(), plain_.end(),
                                             [&](const auto& range) { return range.second <= at; });
      return span != plain_.end() && span->first < at + piece.size();
    };
    size_t at = piece.empty() ? std::string::npos : text_.find(piece, from);
    while (at != std::string::npos && in_plain(at)) at = text_.find(piece, at + 1);
    if (at == std::string::npos) continue;
    const Anchor before = anchors_.back();
    const auto between = encode(before.byte, at);
    if (between.size() == k - before.token &&
        std::equal(between.begin(), between.end(),
                   ids_.begin() + static_cast<std::ptrdiff_t>(before.token))) {
      anchors_.push_back({at, k, true});
      from = at + piece.size();
      refused = 0;
    } else {
      ++refused;
    }
  }
}

}  // namespace temper
