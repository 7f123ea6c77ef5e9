#include "text/tokenizer_bpe.h"

#include <algorithm>
#include <functional>

#include "base/error.h"
#include "text/tokenizer_unicode.h"

namespace temper {
namespace {

constexpr size_t kMaxCachedWord = 256;       // bytes
constexpr size_t kMaxCacheBytes = 16 << 20;  // then the cache starts afresh
// Ids may leave holes, but a table is made for all ids up to the largest.
constexpr int64_t kMaxHoles = 1 << 16;

std::string shorten(std::string_view text) {
  return std::string(text.substr(0, 80));
}

}  // namespace

void BpeModel::MergeTable::reserve(size_t merges) {
  size_t slots = 16;
  while (slots < 2 * merges) slots *= 2;
  slots_.assign(slots, Slot());
}

size_t BpeModel::MergeTable::slot(uint64_t pair) const {
  uint64_t hash = pair * 0x9E3779B97F4A7C15ULL;
  size_t at = (hash ^ (hash >> 32)) & (slots_.size() - 1);
  while (slots_[at].pair != pair && slots_[at].pair != UINT64_MAX) at = (at + 1) & (slots_.size() - 1);
  return at;
}

void BpeModel::MergeTable::put(int32_t left, int32_t right, Merge merge) {
  const uint64_t pair = static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right);
  slots_[slot(pair)] = {pair, merge};
}

const BpeModel::Merge* BpeModel::MergeTable::find(int32_t left, int32_t right) const {
  const Slot& found = slots_[slot(static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right))];
  return found.pair == UINT64_MAX ? nullptr : &found.merge;
}

BpeModel::BpeModel(TokenizerJson file, const std::string& where) : where_(where) {
  const JsonPart root(file.parts, where);
  const JsonPart model = root.part("model");
  // Old files leave the type out; only BPE has merges.
  const std::string type = model.has("type") || !file.has_merges ? model.string("type") : "BPE";
  if (type != "BPE") {
    user_error("{}: the model type \"{}\" is not supported; BPE is", model.where(), type);
  }
  if (!file.has_vocab) user_error("{}: the key \"vocab\" is missing or not an object", model.where());
  if (!file.has_merges) user_error("{}: the key \"merges\" is missing or not an array", model.where());
  if (model.has("dropout") && model.json()["dropout"] != 0.0) {
    user_error("{}.dropout: a tokenizer that draws at random is not supported; set it to null",
               model.where());
  }
  prefix_ = model.string_or("continuing_subword_prefix", "");
  suffix_ = model.string_or("end_of_word_suffix", "");
  fuse_unk_ = model.boolean_or("fuse_unk", false);
  byte_fallback_ = model.boolean_or("byte_fallback", false);
  ignore_merges_ = model.boolean_or("ignore_merges", false);

  read_vocab(file.vocab, model.where());
  read_merges(file, model.where());

  has_unk_ = model.has("unk_token");
  unk_token_ = model.string_or("unk_token", "");
  const auto id_of = [&](const std::string& piece) { return static_cast<int32_t>(find(piece).value_or(-1)); };
  if (has_unk_) unk_ = id_of(unk_token_);
  for (int byte = 0; byte < 256; ++byte) {
    std::string character;
    append_utf8(character, byte_to_char(static_cast<unsigned char>(byte)));
    byte_symbols_[byte] = id_of(character);
    byte_tokens_[byte] = byte_fallback_ ? id_of(fmt::format("<0x{:02X}>", byte)) : -1;
    if (byte_tokens_[byte] >= 0) forbid_in_plain_text(byte_tokens_[byte]);
  }
}

void BpeModel::read_vocab(std::vector<std::pair<std::string, int64_t>>& vocab, const std::string& where) {
  if (vocab.empty()) user_error("{}.vocab: no tokens", where);
  int64_t largest = 0;
  for (const auto& [piece, id] : vocab) {
    if (id > largest) largest = id;
    if (id > 2 * static_cast<int64_t>(vocab.size()) + kMaxHoles) {
      user_error("{}.vocab: the id {} of \"{}\" is far above the {} tokens there are", where, id,
                 shorten(piece), vocab.size());
    }
  }
  by_id_.assign(static_cast<size_t>(largest) + 1, -1);
  forbidden_.assign(by_id_.size(), false);
  pieces_.reserve(vocab.size());
  ids_.reserve(vocab.size());
  for (auto& [piece, id] : vocab) {
    int32_t& slot = by_id_[static_cast<size_t>(id)];
    if (slot >= 0) {
      user_error("{}.vocab: \"{}\" and \"{}\" have the same id {}", where,
                 shorten(pieces_[static_cast<size_t>(slot)]), shorten(piece), id);
    }
    slot = static_cast<int32_t>(pieces_.size());
    pieces_.push_back(std::move(piece));
    if (!ids_.emplace(pieces_.back(), static_cast<int32_t>(id)).second) {
      user_error("{}.vocab: \"{}\" stands twice", where, shorten(pieces_.back()));
    }
  }
}

void BpeModel::read_merges(const TokenizerJson& file, const std::string& where) {
  merges_.reserve(file.merges.size());
  for (size_t rank = 0; rank < file.merges.size(); ++rank) {
    const std::string& left = file.merges[rank].first;
    const std::string& right = file.merges[rank].second;
    const auto need = [&](const std::string& piece) {
      const auto id = find(piece);
      if (!id) {
        user_error("{}.merges[{}]: \"{}\" + \"{}\" needs \"{}\", which is not in the vocabulary", where, rank,
                   shorten(left), shorten(right), shorten(piece));
      }
      return static_cast<int32_t>(*id);
    };
    const int32_t left_id = need(left), right_id = need(right);
    if (right.size() < prefix_.size()) {
      user_error("{}.merges[{}]: \"{}\" is shorter than continuing_subword_prefix", where, rank,
                 shorten(right));
    }
    merges_.put(left_id, right_id, {static_cast<int32_t>(rank), need(left + right.substr(prefix_.size()))});
  }
}

void BpeModel::forbid_in_plain_text(int64_t id) {
  if (id >= 0 && id < end_id()) forbidden_[static_cast<size_t>(id)] = true;
}

std::optional<int64_t> BpeModel::find(std::string_view piece) const {
  const auto found = ids_.find(piece);
  if (found == ids_.end()) return std::nullopt;
  return found->second;
}

const std::string* BpeModel::piece(int64_t id) const {
  if (id < 0 || id >= end_id() || by_id_[static_cast<size_t>(id)] < 0) return nullptr;
  return &pieces_[static_cast<size_t>(by_id_[static_cast<size_t>(id)])];
}

void BpeModel::first_symbols(std::string_view word, WordMode mode, std::vector<Symbol>& symbols) const {
  const auto add = [&](int32_t id) {
    const auto n = static_cast<int32_t>(symbols.size());
    symbols.push_back({id, n - 1, n + 1});
  };
  bool unknown = false;  // an unknown character, or a run of them, is not yet written
  const auto flush_unknown = [&] {
    if (unknown) add(unk_);
    unknown = false;
  };
  std::string spelled;
  for (size_t at = 0; at < word.size();) {
    const size_t begin = at;
    const auto byte = static_cast<unsigned char>(word[at]);
    int32_t id = -1;
    std::string_view character;
    if (mode.raw_bytes) {
      ++at;
      id = byte_symbols_[byte];
    } else {
      at += utf8_length(byte);
      character = word.substr(begin, at - begin);
    }
    if (!mode.raw_bytes || !prefix_.empty() || !suffix_.empty()) {
      spelled.clear();
      if (begin > 0) spelled += prefix_;
      if (mode.raw_bytes) {
        append_utf8(spelled, byte_to_char(byte));
      } else {
        spelled += character;
      }
      if (at == word.size()) spelled += suffix_;
      id = static_cast<int32_t>(find(spelled).value_or(-1));
    }
    if (id >= 0 && !forbidden(id, mode)) {
      flush_unknown();
      add(id);
      continue;
    }
    if (byte_fallback_) {
      // Of the character as it is looked up, prefix and all; byte-level characters in their own spelling.
      if (mode.raw_bytes && prefix_.empty() && suffix_.empty()) {
        spelled.clear();
        append_utf8(spelled, byte_to_char(byte));
      }
      const auto has_token = [&](char c) { return byte_tokens_[static_cast<unsigned char>(c)] >= 0; };
      if (std::all_of(spelled.begin(), spelled.end(), has_token)) {
        // As in the package, unknown characters before these come after them.
        for (const char c : spelled) add(byte_tokens_[static_cast<unsigned char>(c)]);
        continue;
      }
    }
    if (!has_unk_) continue;  // the package drops what it cannot say
    if (unk_ < 0)
      user_error("{}: unk_token \"{}\" is needed, and is not in the vocabulary", where_, unk_token_);
    if (!fuse_unk_) flush_unknown();
    unknown = true;
  }
  flush_unknown();
  if (!symbols.empty()) symbols.back().next = -1;
}

void BpeModel::merge_all(std::vector<Symbol>& symbols, WordMode mode) const {
  struct Candidate {
    int32_t rank, at, id;
    bool operator>(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : at > other.at;
    }
  };
  std::vector<Candidate> heap;
  const auto propose = [&](int32_t at) {
    const Symbol& left = symbols[static_cast<size_t>(at)];
    const Merge* merge = merges_.find(left.id, symbols[static_cast<size_t>(left.next)].id);
    if (merge == nullptr || forbidden(merge->id, mode)) return false;
    heap.push_back({merge->rank, at, merge->id});
    return true;
  };
  const auto propose_to_heap = [&](int32_t at) {
    if (propose(at)) std::push_heap(heap.begin(), heap.end(), std::greater<>());
  };
  const auto n = static_cast<int32_t>(symbols.size());
  for (int32_t at = 0; at + 1 < n; ++at) propose(at);
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const Candidate best = heap.back();
    heap.pop_back();
    Symbol& left = symbols[static_cast<size_t>(best.at)];
    if (left.id < 0 || left.next < 0) continue;
    Symbol& right = symbols[static_cast<size_t>(left.next)];
    const Merge* merge = merges_.find(left.id, right.id);
    if (merge == nullptr || merge->id != best.id) continue;  // one of the two has been merged since
    left.id = best.id;
    left.next = right.next;
    right.id = -1;
    if (left.next >= 0) symbols[static_cast<size_t>(left.next)].previous = best.at;
    if (left.previous >= 0) propose_to_heap(left.previous);
    if (left.next >= 0) propose_to_heap(best.at);
  }
  std::erase_if(symbols, [](const Symbol& symbol) { return symbol.id < 0; });
}

void BpeModel::encode(std::string_view word, WordMode mode, Cache& cache, std::vector<int64_t>& ids) const {
  if (word.empty()) return;
  auto& words = cache.words_[(mode.raw_bytes ? 1 : 0) + (mode.plain ? 2 : 0)];
  const bool cached = word.size() <= kMaxCachedWord;
  if (cached) {
    if (const auto found = words.find(word); found != words.end()) {
      ids.insert(ids.end(), found->second.begin(), found->second.end());
      return;
    }
  }
  std::vector<int32_t> result;
  if (ignore_merges_) {
    std::string mapped;
    if (mode.raw_bytes) {
      for (const char c : word) append_utf8(mapped, byte_to_char(static_cast<unsigned char>(c)));
    }
    const auto whole = find(mode.raw_bytes ? std::string_view(mapped) : word);
    if (whole && !forbidden(static_cast<int32_t>(*whole), mode))
      result.push_back(static_cast<int32_t>(*whole));
  }
  if (result.empty()) {
    std::vector<Symbol> symbols;
    symbols.reserve(word.size());
    first_symbols(word, mode, symbols);
    merge_all(symbols, mode);
    for (const Symbol& symbol : symbols) result.push_back(symbol.id);
  }
  ids.insert(ids.end(), result.begin(), result.end());
  if (cached) {
    cache.bytes_ += word.size() + 4 * result.size() + 96;
    if (cache.bytes_ > kMaxCacheBytes) {
      cache.clear();
    }
    words.emplace(std::string(word), std::move(result));
  }
}

void BpeModel::Cache::clear() {
  for (auto& words : words_) words.clear();
  bytes_ = 0;
}

std::unique_ptr<BpeModel::Cache> BpeCaches::take() {
  const std::lock_guard lock(mutex_);
  if (free_.empty()) return std::make_unique<BpeModel::Cache>();
  auto cache = std::move(free_.back());
  free_.pop_back();
  return cache;
}

void BpeCaches::give_back(std::unique_ptr<BpeModel::Cache> cache) {
  const std::lock_guard lock(mutex_);
  free_.push_back(std::move(cache));
}

}  // namespace temper
