// The BPE model of tokenizer.json: words to ids.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/tokenizer_json.h"

namespace temper {

// How a word reaches the model.
struct WordMode {
  bool raw_bytes = false;  // each byte stands for its byte-level character
  bool plain = false;  // user text: never yields a special token's id, nor a byte token's by spelling it out
};

class BpeModel {
 public:
  // Throws UserError for a model that is not BPE, duplicate or far-off ids, merges of unknown tokens,
  // dropout.
  BpeModel(TokenizerJson file, const std::string& where);

  // Which ids plain text must not yield; beside byte tokens, which the model knows itself.
  void forbid_in_plain_text(int64_t id);

  size_t size() const { return pieces_.size(); }
  int64_t end_id() const { return static_cast<int64_t>(by_id_.size()); }  // above every id
  std::optional<int64_t> find(std::string_view piece) const;
  const std::string* piece(int64_t id) const;  // null: no such id

  // The words seen lately and their ids. Not thread-safe: one for each thread that encodes.
  class Cache;
  void encode(std::string_view word, WordMode mode, Cache& cache, std::vector<int64_t>& ids) const;

  class Cache {
   public:
    void clear();

   private:
    friend class BpeModel;
    struct Hash {
      using is_transparent = void;
      size_t operator()(std::string_view s) const { return std::hash<std::string_view>()(s); }
    };
    std::unordered_map<std::string, std::vector<int32_t>, Hash, std::equal_to<>> words_[4];
    size_t bytes_ = 0;
  };

 private:
  struct Merge {
    int32_t rank, id;
  };
  // Pairs of ids to their merge: open addressing, a power of two of slots.
  class MergeTable {
   public:
    void reserve(size_t merges);
    void put(int32_t left, int32_t right, Merge merge);  // the last of equal pairs stays
    const Merge* find(int32_t left, int32_t right) const;

   private:
    struct Slot {
      uint64_t pair = UINT64_MAX;
      Merge merge;
    };
    size_t slot(uint64_t pair) const;
    std::vector<Slot> slots_;
  };
  struct Symbol {
    int32_t id, previous, next;  // next: -1 at the end; id: -1 when it was merged away
  };

  void read_vocab(std::vector<std::pair<std::string, int64_t>>& vocab, const std::string& where);
  void read_merges(const TokenizerJson& file, const std::string& where);
  bool forbidden(int32_t id, WordMode mode) const {
    return mode.plain && forbidden_[static_cast<size_t>(id)];
  }
  void first_symbols(std::string_view word, WordMode mode, std::vector<Symbol>& symbols) const;
  void merge_all(std::vector<Symbol>& symbols, WordMode mode) const;

  std::vector<std::string> pieces_;                    // in file order
  std::unordered_map<std::string_view, int32_t> ids_;  // views into pieces_
  std::vector<int32_t> by_id_;                         // id -> index into pieces_, -1: a hole
  std::vector<bool> forbidden_;                        // by id
  MergeTable merges_;
  int32_t byte_symbols_[256];  // the byte-level character of each byte, -1: not there
  int32_t byte_tokens_[256];   // <0x00> ... <0xFF>
  std::string unk_token_, prefix_, suffix_, where_;
  int32_t unk_ = -1;
  bool has_unk_ = false, fuse_unk_ = false, byte_fallback_ = false, ignore_merges_ = false;
};

// Caches for as many threads as encode at once.
class BpeCaches {
 public:
  std::unique_ptr<BpeModel::Cache> take();
  void give_back(std::unique_ptr<BpeModel::Cache> cache);

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<BpeModel::Cache>> free_;
};

}  // namespace temper
