// What a completion may say, token by token.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "grammar/automaton.h"
#include "grammar/token_texts.h"

namespace temper {

// The tokens that may come next.
struct AllowedTokens {
  std::vector<uint64_t> bits;  // of each id, 64 a word
  int64_t count = 0;
  bool has(int64_t id) const { return (bits[static_cast<size_t>(id) / 64] >> (id % 64) & 1) != 0; }
  void add(int64_t id) { bits[static_cast<size_t>(id) / 64] |= uint64_t(1) << (id % 64), ++count; }
};

// An automaton over the bytes of a vocabulary's tokens. The text is what decode() of the completion's tokens
// gives without special tokens: of one turn. An end token may come exactly where the text may end; other
// special tokens never. Threads may share it.
class Constraint {
 public:
  // where: of the automaton, for messages. Throws UserError when there are no end tokens.
  Constraint(Automaton automaton, std::shared_ptr<const TokenTexts> tokens, std::vector<int64_t> end_ids,
             std::string where);
  const Automaton& automaton() const { return automaton_; }
  const TokenTexts& tokens() const { return *tokens_; }
  bool ends(int64_t id) const;
  const std::string& where() const { return where_; }

 private:
  friend class ConstraintState;
  // The walk of the trie with the automaton from these branches, or what an earlier one gave from the same.
  std::shared_ptr<const AllowedTokens> allowed(const Branches& branches, bool first) const;
  std::shared_ptr<const AllowedTokens> walk(const Branches& branches, bool first) const;

  Automaton automaton_;
  std::shared_ptr<const TokenTexts> tokens_;
  std::vector<int64_t> end_ids_;
  std::string where_;
  struct Known {
    Branches branches;
    bool first;
    std::shared_ptr<const AllowedTokens> allowed;
  };
  mutable std::mutex mutex_;
  mutable std::unordered_multimap<size_t, Known> known_;  // by hash
};

// Where one completion stands.
class ConstraintState {
 public:
  explicit ConstraintState(std::shared_ptr<const Constraint> constraint);
  bool allows(int64_t id) const;  // decides on the token's own bytes
  // All that allows() allows, at least one. Throws UserError when no token of the vocabulary can go on.
  std::shared_ptr<const AllowedTokens> allowed() const;
  // Takes an allowed token. Throws std::logic_error for one that is not.
  void accept(int64_t id);
  bool finished() const { return constraint_->automaton().accepts(branches_); }   // an end token may come
  bool must_end() const { return !constraint_->automaton().goes_on(branches_); }  // nothing else may
  // Nothing goes on here, as allowed() says.
  [[noreturn]] void refuse() const;

 private:
  std::shared_ptr<const Constraint> constraint_;
  Branches branches_;
  bool first_ = true;  // no text yet
  std::string tail_;   // of the text, for messages
};

}  // namespace temper
