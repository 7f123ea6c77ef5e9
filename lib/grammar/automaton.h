// A pushdown automaton over bytes: which texts a constraint accepts, and what may follow a begun one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace temper {

// Whom a rule goes back to when it is complete: it was called from all these places at once.
struct CallFrame {
  struct Return {
    int32_t state;                           // of the caller, behind the call
    std::shared_ptr<const CallFrame> under;  // the caller's own; null: the whole text's rule
  };
  std::vector<Return> returns;
  size_t hash = 0;  // of the contents
  CallFrame() = default;
  CallFrame(const CallFrame&) = delete;
  CallFrame& operator=(const CallFrame&) = delete;
  ~CallFrame();  // without recursion, as texts may be nested deeply
};
bool same_frame(const std::shared_ptr<const CallFrame>& a, const std::shared_ptr<const CallFrame>& b);

// One way to read the text so far.
struct Branch {
  int32_t state = 0;
  std::shared_ptr<const CallFrame> frame;
};
// All the ways. A text that has one is the beginning of an accepted text.
using Branches = std::vector<Branch>;

// Rules, each a deterministic automaton whose steps are bytes and calls of rules. Stacks that were called in
// one place are one frame (as in a graph-structured stack, Tomita 1987), so an ambiguous grammar has no more
// branches than states. Immutable, so that threads may share it.
class Automaton {
 public:
  Branches begin() const;
  // What remains of `from` behind one more byte. to: another vector.
  void step(const Branches& from, uint8_t byte, Branches& to) const;
  // False, and nothing certain in `branches`, when the text cannot go on with these bytes.
  bool advance(Branches& branches, std::string_view bytes) const;
  bool accepts(const Branches& branches) const;  // the text may end here
  bool goes_on(const Branches& branches) const;  // some byte may follow
  bool matches(std::string_view text) const;     // the whole of it
  bool accepts_nothing() const { return !accepts(begin()) && !goes_on(begin()); }
  std::string next_bytes(const Branches& branches) const;  // each that may follow
  size_t states() const { return ends_.size(); }

 private:
  friend class GrammarBuilder;
  friend class Determiniser;
  struct Call {
    int32_t rule, then;
  };
  struct Rule {
    int32_t start = 0;
    int32_t rank = 0;  // above that of every rule that it may begin with
  };
  const int32_t* row(int32_t state) const { return next_.data() + static_cast<size_t>(state) * classes_; }
  void enter(int32_t state, const std::shared_ptr<const CallFrame>& frame, Branches& to) const;
  void open_calls(Branches& to) const;

  std::array<uint8_t, 256> class_of_{};  // bytes that no step tells apart
  size_t classes_ = 1;
  std::vector<int32_t> next_;             // [states, classes]; -1: no such step
  std::vector<std::vector<Call>> calls_;  // of each state
  std::vector<uint8_t> ends_, steps_;     // of each state: it completes its rule; some byte may follow
  std::vector<Rule> rules_;
  int32_t root_ = 0;
};

}  // namespace temper
