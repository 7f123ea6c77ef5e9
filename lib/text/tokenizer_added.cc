#include "text/tokenizer_added.h"

#include <algorithm>

#include "base/error.h"
#include "text/tokenizer_unicode.h"

namespace temper {
namespace {

// The character that ends at `at` (> 0) of valid UTF-8; moves `at` to its beginning.
char32_t previous_char(std::string_view text, size_t& at) {
  while ((static_cast<unsigned char>(text[--at]) & 0xC0) == 0x80) continue;
  size_t from = at;
  return next_char(text, from);
}

size_t skip_space_left(std::string_view text, size_t at) {
  while (at > 0) {
    size_t before = at;
    if (!is_white_space(previous_char(text, before))) break;
    at = before;
  }
  return at;
}

size_t skip_space_right(std::string_view text, size_t at) {
  while (at < text.size()) {
    size_t after = at;
    if (!is_white_space(next_char(text, after))) break;
    at = after;
  }
  return at;
}

bool is_single_word(std::string_view text, size_t begin, size_t end) {
  size_t before = begin, after = end;
  return (begin == 0 || !is_word(previous_char(text, before))) &&
         (end == text.size() || !is_word(next_char(text, after)));
}

}  // namespace

void StringSet::insert(std::string_view text, int64_t value) {
  starts_[static_cast<unsigned char>(text[0])] = true;
  uint64_t node = 0;
  for (const char c : text) {
    const auto [edge, added] =
        next_.try_emplace(node * 256 + static_cast<unsigned char>(c), static_cast<int32_t>(values_.size()));
    if (added) values_.push_back(-1);
    node = static_cast<uint64_t>(edge->second);
  }
  if (values_[node] < 0) values_[node] = value;
}

size_t StringSet::longest(std::string_view text, size_t at, int64_t& value) const {
  uint64_t node = 0;
  size_t length = 0;
  for (size_t i = at; i < text.size(); ++i) {
    const auto edge = next_.find(node * 256 + static_cast<unsigned char>(text[i]));
    if (edge == next_.end()) break;
    node = static_cast<uint64_t>(edge->second);
    if (values_[node] >= 0) {
      value = values_[node];
      length = i + 1 - at;
    }
  }
  return length;
}

void AddedTokens::add(const AddedToken& token, const std::string& form, const std::string& where) {
  if (form.empty()) user_error("{}: the added token \"{}\" is empty once normalised", where, token.content);
  by_id_[token.id] = tokens_.size();
  by_content_[token.content] = tokens_.size();
  tokens_.push_back(token);
  (token.normalized ? normalized_ : raw_).insert(form, token.id);
  if (!token.normalized || token.special) raw_and_special_.insert(token.content, token.id);
}

const AddedToken* AddedTokens::find(int64_t id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &tokens_[found->second];
}

const AddedToken* AddedTokens::find(std::string_view content) const {
  const auto found = by_content_.find(std::string(content));
  return found == by_content_.end() ? nullptr : &tokens_[found->second];
}

void AddedTokens::split_raw(std::string_view text, bool skip_special, const Ranges& plain,
                            std::vector<Span>& spans) const {
  split(plain.empty() ? raw_ : raw_and_special_, text, skip_special, plain, spans);
}

void AddedTokens::split_normalized(std::string_view text, bool skip_special, std::vector<Span>& spans) const {
  split(normalized_, text, skip_special, {}, spans);
}

void AddedTokens::split(const StringSet& set, std::string_view text, bool skip_special, const Ranges& plain,
                        std::vector<Span>& spans) const {
  spans.clear();
  size_t text_begin = 0;
  auto range = plain.begin();
  const auto touches_plain = [&](size_t begin, size_t end) {
    while (range != plain.end() && range->second <= begin) ++range;
    return range != plain.end() && range->first < end;
  };
  for (size_t at = 0; at < text.size() && !set.empty();) {
    int64_t id = -1;
    const size_t length = set.may_start(static_cast<unsigned char>(text[at])) ? set.longest(text, at, id) : 0;
    if (length == 0) {
      ++at;
      continue;
    }
    size_t begin = at, end = at + length;
    const AddedToken& token = *find(id);
    if (token.special && touches_plain(begin, end)) {
      ++at;
      continue;
    }
    // A match that is refused below still uses up its text, as in the package.
    at = end;
    if (skip_special && token.special) continue;
    if (token.single_word && !is_single_word(text, begin, end)) continue;
    if (token.lstrip) begin = std::max(skip_space_left(text, begin), text_begin);
    if (token.rstrip) end = skip_space_right(text, end);
    if (text_begin < begin) spans.push_back({text_begin, begin, -1});
    spans.push_back({begin, end, id});
    text_begin = end;
  }
  if (text_begin < text.size()) spans.push_back({text_begin, text.size(), -1});
}

}  // namespace temper
