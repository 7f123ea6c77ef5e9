#include "grammar/constraint.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "text/tokenizer_unicode.h"

namespace temper {
namespace {

constexpr size_t kKnownBytes = size_t(64) << 20;  // of token sets that are kept

size_t hash_of(const Branches& branches, bool first) {
  size_t hash = first ? 1 : 2;
  for (const Branch& b : branches) {
    for (const size_t part : {static_cast<size_t>(b.state), b.frame ? b.frame->hash : size_t(1)})
      hash = (hash ^ part) * 0x9e3779b97f4a7c15ULL, hash ^= hash >> 30;
  }
  return hash;
}

bool same(const Branches& a, const Branches& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Branch& x, const Branch& y) {
    return x.state == y.state && same_frame(x.frame, y.frame);
  });
}

}  // namespace

Constraint::Constraint(Automaton automaton, std::shared_ptr<const TokenTexts> tokens,
                       std::vector<int64_t> end_ids, std::string where)
    : automaton_(std::move(automaton)),
      tokens_(std::move(tokens)),
      end_ids_(std::move(end_ids)),
      where_(std::move(where)) {
  std::erase_if(end_ids_, [&](int64_t id) { return id < 0 || id >= tokens_->vocab(); });
  std::sort(end_ids_.begin(), end_ids_.end());
  end_ids_.erase(std::unique(end_ids_.begin(), end_ids_.end()), end_ids_.end());
  if (end_ids_.empty())
    user_error("{}: a constraint needs an end token, and there is none to end a completion with", where_);
}

bool Constraint::ends(int64_t id) const {
  return std::binary_search(end_ids_.begin(), end_ids_.end(), id);
}

std::shared_ptr<const AllowedTokens> Constraint::allowed(const Branches& branches, bool first) const {
  const size_t hash = hash_of(branches, first);
  {
    const std::lock_guard lock(mutex_);
    const auto [begin, end] = known_.equal_range(hash);
    for (auto it = begin; it != end; ++it) {
      if (it->second.first == first && same(it->second.branches, branches)) return it->second.allowed;
    }
  }
  auto found = walk(branches, first);
  const std::lock_guard lock(mutex_);
  if ((known_.size() + 1) * found->bits.size() * sizeof(uint64_t) > kKnownBytes) known_.clear();
  known_.emplace(hash, Known{branches, first, found});
  return found;
}

std::shared_ptr<const AllowedTokens> Constraint::walk(const Branches& branches, bool first) const {
  auto out = std::make_shared<AllowedTokens>();
  out->bits.assign((static_cast<size_t>(tokens_->vocab()) + 63) / 64, 0);
  const TokenTrie& trie = tokens_->trie(first);
  std::vector<Branches> behind{branches};  // what remains behind each byte of the path
  const auto& nodes = trie.nodes();
  for (size_t i = 0; i + 1 < nodes.size();) {
    const TokenTrie::Node& node = nodes[i];
    const auto depth = static_cast<size_t>(node.depth);
    if (behind.size() < depth + 2) behind.resize(depth + 2);
    automaton_.step(behind[depth], node.byte, behind[depth + 1]);
    if (behind[depth + 1].empty()) {
      i = static_cast<size_t>(node.past);
      continue;
    }
    for (int32_t t = node.tokens; t < nodes[i + 1].tokens; ++t) {
      const int64_t id = trie.ids()[static_cast<size_t>(t)];
      if (!ends(id)) out->add(id);
    }
    ++i;
  }
  if (automaton_.accepts(branches)) {
    for (const int64_t id : end_ids_) out->add(id);
  }
  return out;
}

ConstraintState::ConstraintState(std::shared_ptr<const Constraint> constraint)
    : constraint_(std::move(constraint)), branches_(constraint_->automaton().begin()) {}

bool ConstraintState::allows(int64_t id) const {
  if (constraint_->ends(id)) return finished();
  const std::string& text = constraint_->tokens().text(id, first_);
  if (text.empty()) return false;
  Branches branches = branches_;
  return constraint_->automaton().advance(branches, text);
}

std::shared_ptr<const AllowedTokens> ConstraintState::allowed() const {
  auto out = constraint_->allowed(branches_, first_);
  if (out->count == 0) refuse();
  return out;
}

void ConstraintState::accept(int64_t id) {
  if (constraint_->ends(id) && finished()) return;
  const std::string& text = constraint_->tokens().text(id, first_);
  if (text.empty() || !constraint_->automaton().advance(branches_, text))
    bug("constraint: token {} came where it is not allowed", id);
  first_ = false;
  constexpr size_t kShown = 40;
  tail_ += text;
  if (tail_.size() > kShown) tail_.erase(0, tail_.size() - kShown);
}

void ConstraintState::refuse() const {
  std::string bytes;
  for (const char c : constraint_->automaton().next_bytes(branches_)) {
    if (bytes.size() > 60) {
      bytes += " ...";
      break;
    }
    const auto byte = static_cast<unsigned char>(c);
    bytes += byte > 0x20 && byte < 0x7F ? fmt::format(" {}", c) : fmt::format(" 0x{:02X}", byte);
  }
  user_error("{}: no token that may come can go on {}; what must follow is one of the bytes{}",
             constraint_->where(),
             first_ ? "at the beginning" : fmt::format("behind \"{}\"", replace_invalid_utf8(tail_)), bytes);
}

}  // namespace temper
