// GrammarBuilder::build(): the subset construction, rule by rule, with a call as one more kind of step.
#include <algorithm>
#include <map>
#include <unordered_map>

#include "base/error.h"
#include "grammar/builder.h"

namespace temper {

class Determiniser {
 public:
  Determiniser(const GrammarBuilder& builder, int32_t root) : b_(builder), seen_(builder.nodes_.size(), 0) {
    a_.root_ = root;
  }

  Automaton run() {
    find_classes();
    for (const auto& rule : b_.rules_) {
      if (rule.begin < 0) bug("grammar: the rule {} was never defined", rule.name);
      end_ = rule.end;
      sets_.clear();
      numbers_.clear();
      targets_.clear();
      first_ = a_.ends_.size();
      a_.rules_.push_back({number_of({rule.begin}), 0});
      for (size_t i = 0; i < sets_.size(); ++i) expand(i);
    }
    trim();
    rank();
    return std::move(a_);
  }

 private:
  using States = std::vector<int32_t>;  // ascending
  struct HashStates {
    size_t operator()(const States& states) const {
      size_t hash = states.size();
      for (const int32_t s : states)
        hash = (hash ^ static_cast<size_t>(s)) * 0x9e3779b97f4a7c15ULL, hash ^= hash >> 31;
      return hash;
    }
  };
  static constexpr size_t kMaxStates = 200'000, kMaxCells = size_t(1) << 25;
  static constexpr int64_t kMaxWork = 400'000'000;

  [[noreturn]] void too_large() const {
    user_error(
        "{}: its automaton is too large ({} states so far): lower the counts of its repetitions, or write it "
        "so that fewer beginnings have to be remembered",
        b_.where_, a_.ends_.size());
  }
  void work(size_t amount) {
    work_ += static_cast<int64_t>(amount);
    if (work_ > kMaxWork) too_large();
  }

  void find_classes() {
    bool cut[257] = {};
    for (const auto& node : b_.nodes_) {
      for (const auto& edge : node.edges) cut[edge.bytes.first] = cut[edge.bytes.last + 1] = true;
    }
    size_t c = 0;
    for (size_t byte = 0; byte < 256; ++byte) {
      if (byte > 0 && cut[byte]) ++c;
      a_.class_of_[byte] = static_cast<uint8_t>(c);
    }
    a_.classes_ = c + 1;
  }

  // The state that stands for all that can be reached from these without a byte.
  int32_t number_of(States from) {
    std::sort(from.begin(), from.end());
    from.erase(std::unique(from.begin(), from.end()), from.end());
    if (const auto known = targets_.find(from); known != targets_.end()) return known->second;
    States closed, open = from;
    ++round_;
    for (const int32_t s : open) seen_[static_cast<size_t>(s)] = round_;
    while (!open.empty()) {
      const int32_t s = open.back();
      open.pop_back();
      const auto& node = b_.nodes_[static_cast<size_t>(s)];
      if (!node.edges.empty() || !node.calls.empty() || s == end_) closed.push_back(s);
      work(1 + node.skips.size());
      for (const int32_t next : node.skips) {
        if (seen_[static_cast<size_t>(next)] == round_) continue;
        seen_[static_cast<size_t>(next)] = round_;
        open.push_back(next);
      }
    }
    std::sort(closed.begin(), closed.end());
    const auto [entry, fresh] = numbers_.emplace(closed, static_cast<int32_t>(first_ + sets_.size()));
    if (fresh) {
      if (a_.ends_.size() >= kMaxStates || (a_.ends_.size() + 1) * a_.classes_ > kMaxCells) too_large();
      a_.ends_.push_back(std::binary_search(closed.begin(), closed.end(), end_) ? 1 : 0);
      a_.calls_.emplace_back();
      a_.next_.resize(a_.ends_.size() * a_.classes_, -1);
      sets_.push_back(std::move(closed));
    }
    targets_.emplace(std::move(from), entry->second);
    return entry->second;
  }

  void expand(size_t index) {
    const States set = sets_[index];
    std::vector<States> by_class(a_.classes_);
    std::map<int32_t, States> by_rule;
    for (const int32_t s : set) {
      const auto& node = b_.nodes_[static_cast<size_t>(s)];
      for (const auto& edge : node.edges) {
        const size_t last = a_.class_of_[edge.bytes.last];
        work(1 + last - a_.class_of_[edge.bytes.first]);
        for (size_t c = a_.class_of_[edge.bytes.first]; c <= last; ++c) by_class[c].push_back(edge.to);
      }
      for (const auto& call : node.calls) by_rule[call.rule].push_back(call.to);
    }
    for (size_t c = 0; c < a_.classes_; ++c) {
      if (by_class[c].empty()) continue;
      const int32_t to = number_of(std::move(by_class[c]));
      a_.next_[(first_ + index) * a_.classes_ + c] = to;
    }
    for (auto& [rule, to] : by_rule) {
      const int32_t then = number_of(std::move(to));
      a_.calls_[first_ + index].push_back({rule, then});
    }
  }

  // Takes away what cannot be completed.
  void trim() {
    const size_t n = a_.ends_.size();
    std::vector<uint8_t> completes(a_.ends_);
    const auto may = [&](int32_t state) { return completes[static_cast<size_t>(state)] != 0; };
    const auto callable = [&](const Automaton::Call& call) {
      return may(a_.rules_[static_cast<size_t>(call.rule)].start) && may(call.then);
    };
    for (bool more = true; more;) {
      more = false;
      for (size_t s = n; s-- > 0;) {  // most steps lead to a higher number
        if (completes[s] != 0) continue;
        const int32_t* row = a_.row(static_cast<int32_t>(s));
        const bool by_byte =
            std::any_of(row, row + a_.classes_, [&](int32_t to) { return to >= 0 && may(to); });
        if (by_byte || std::any_of(a_.calls_[s].begin(), a_.calls_[s].end(), callable))
          completes[s] = 1, more = true;
      }
    }
    a_.steps_.assign(n, 0);
    for (size_t s = 0; s < n; ++s) {
      for (size_t c = 0; c < a_.classes_; ++c) {
        int32_t& to = a_.next_[s * a_.classes_ + c];
        if (to >= 0 && !may(to)) to = -1;
        if (to >= 0) a_.steps_[s] = 1;
      }
      std::erase_if(a_.calls_[s], [&](const Automaton::Call& call) { return !callable(call); });
    }
  }

  void rank() {
    std::vector<int> height(a_.rules_.size(), 0);
    for (size_t r = 0; r < a_.rules_.size(); ++r) rank_of(static_cast<int32_t>(r), height);
  }

  int32_t rank_of(int32_t r, std::vector<int>& height) {
    constexpr int kInside = -1;
    auto& rule = a_.rules_[static_cast<size_t>(r)];
    int& mine = height[static_cast<size_t>(r)];
    const std::string& name = b_.rules_[static_cast<size_t>(r)].name;
    if (mine == kInside)
      user_error("{}: {} leads back to itself before any text, so nothing is decided", b_.where_, name);
    if (mine > 0) return rule.rank;
    if (r != a_.root_ && a_.ends_[static_cast<size_t>(rule.start)] != 0)
      bug("grammar: the rule {} may be empty", name);
    mine = kInside;
    int32_t above = 0;
    for (const auto& call : a_.calls_[static_cast<size_t>(rule.start)])
      above = std::max(above, 1 + rank_of(call.rule, height));
    rule.rank = above;
    mine = 1;
    return above;
  }

  const GrammarBuilder& b_;
  Automaton a_;
  int32_t end_ = 0;
  size_t first_ = 0;  // number of the rule's first state
  std::vector<States> sets_;
  std::unordered_map<States, int32_t, HashStates> numbers_, targets_;  // by closed set; by what led there
  std::vector<uint32_t> seen_;
  uint32_t round_ = 0;
  int64_t work_ = 0;
};

Automaton GrammarBuilder::build(int32_t root) {
  return Determiniser(*this, root).run();
}

}  // namespace temper
